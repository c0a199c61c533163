// A transform for asc: writes what stands behind "// pleach.args:" in the operation's source into the section of that name.
import { Transform } from "assemblyscript/transform";

const LINE = /^\/\/ pleach\.args:(.*)$/gm;

export default class Describe extends Transform {
  afterParse(parser) {
    // Of the operation itself, not of what it imports.
    const sources = parser.sources.filter((source) => source.sourceKind === 1).map((source) => source.text);
    this.found = sources.flatMap((text) => [...text.matchAll(LINE)].map((match) => match[1].trim()));
    if (this.found.length !== 1) {
      throw new Error(`an operation describes its arguments once, in a line "// pleach.args: name: str, limit: u64"; found ${this.found.length}`);
    }
  }

  afterCompile(module) {
    module.addCustomSection("pleach.args", new TextEncoder().encode(this.found[0]));
  }
}
