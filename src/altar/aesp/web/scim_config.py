"""What a SCIM service says about itself: resource types, schemas, and what it can do (RFC 7643 §5, RFC 7644 §4)."""

from __future__ import annotations

from scim2_models import (
    AuthenticationScheme,
    Bulk,
    ChangePassword,
    EnterpriseUser,
    ETag,
    External,
    Filter,
    Group,
    Meta,
    Pagination,
    Patch,
    Reference,
    ResourceType,
    ScimProvider,
    ServiceProviderConfig,
    Sort,
    User,
)

from altar.aesp.identity.scim_roster import ScimGroup, ScimUser
from altar.aesp.identity.scim_search import MOST_RESULTS

__all__ = ["described"]


def described(*, base: str, operations: int, bytes_: int) -> ScimProvider:
    """Describe the service below ``base``, with the limits of its bulk jobs."""
    types = [ResourceType.from_resource(model) for model in (ScimUser, ScimGroup)]
    for each in types:
        each.meta = Meta(resource_type="ResourceType", location=f"{base}/ResourceTypes/{each.id}")
    return ScimProvider(
        models=[User, EnterpriseUser, Group],
        resource_types=types,
        config=ServiceProviderConfig(
            patch=Patch(supported=True),
            bulk=Bulk(supported=True, max_operations=operations, max_payload_size=bytes_),
            filter=Filter(supported=True, max_results=MOST_RESULTS),
            change_password=ChangePassword(supported=False),
            sort=Sort(supported=True),
            etag=ETag(supported=True),
            pagination=Pagination(cursor=False, index=True, max_page_size=MOST_RESULTS),
            authentication_schemes=[
                AuthenticationScheme(
                    type=AuthenticationScheme.Type.oauthbearertoken,
                    name="API key",
                    description="An API key of the tenant with the permission scim:manage, as bearer token",
                    spec_uri=Reference[External]("https://www.rfc-editor.org/rfc/rfc6750"),
                    primary=True,
                )
            ],
            meta=Meta(resource_type="ServiceProviderConfig", location=f"{base}/ServiceProviderConfig"),
        ),
    )
