// The lines of a reader, one by one: what DSPy's sandbox imports from Deno's old standard library, and nothing else.
export async function* readLines(reader: { read(into: Uint8Array): Promise<number | null> }): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  const buffer = new Uint8Array(65536);
  let rest = "";
  for (;;) {
    const count = await reader.read(buffer);
    if (count === null) break;
    const lines = (rest + decoder.decode(buffer.subarray(0, count), { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) yield line.replace(/\r$/, "");
  }
  if (rest) yield rest;
}
