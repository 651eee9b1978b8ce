// Reads {"name": "a flowchart"} from standard input; writes what the parser of Mermaid finds in each, or its complaint.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const installed = createRequire(process.argv[2]);
const { JSDOM } = installed("jsdom");
globalThis.window = new JSDOM("").window;
globalThis.document = window.document;
const { default: mermaid } = await import(pathToFileURL(process.argv[3]));
await mermaid.parse("flowchart TD\n  a --> b"); // loads the kinds of diagrams

const found = {};
for (const [name, text] of Object.entries(JSON.parse(readFileSync(0, "utf8")))) {
  try {
    const { db } = await mermaid.mermaidAPI.getDiagramFromText(text);
    found[name] = {
      nodes: [...db.getVertices().keys()],
      edges: db.getEdges().map((edge) => [edge.start, edge.end, edge.stroke]),
      frames: db.getSubGraphs().map((frame) => frame.title),
    };
  } catch (complaint) {
    found[name] = { complaint: String(complaint.message) };
  }
}
console.log(JSON.stringify(found));
