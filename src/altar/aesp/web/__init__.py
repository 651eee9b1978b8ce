"""What an AESP host answers over HTTP: SCIM, sign-in by SAML, and the work on directories.

`app.application` joins the parts; `routes.ROUTES` is the one table of who may ask what.
"""
