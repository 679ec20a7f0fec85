import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = dirname(dirname(fileURLToPath(import.meta.url)));
const PACKAGE = join(HERE, "../../npm");

/** The example of a README, by default of the package's: what it shows is what is tested. */
export function quickStart(readme = join(PACKAGE, "README.md")) {
  const [, example] = /```ts\n([\s\S]*?)```/.exec(readFileSync(readme, "utf8")) ?? [];
  if (!example) {
    throw new Error(`${readme} has no TypeScript example`);
  }
  return example;
}

/** An empty project in a temporary folder, with the packed package installed as a user would do it. */
export class Project {
  /** Where it is. */
  dir = mkdtempSync(join(tmpdir(), "packaging-"));

  /**
   * @param {Record<string, string>} files the project's own, by path
   * @param {string[]} tools further packages that it needs, of the versions these tests have
   */
  constructor(files, tools = []) {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(this.dir, path)), { recursive: true });
      writeFileSync(join(this.dir, path), text);
    }
    const packed = this.#npm(PACKAGE, "pack", "--ignore-scripts", "--json", "--pack-destination", this.dir);
    const [{ filename }] = JSON.parse(packed);
    const wanted = tools.map(installedHere);
    this.#npm(this.dir, "install", "--prefer-offline", "--no-audit", "--no-fund", `./${filename}`, ...wanted);
  }

  /** A file or folder of the package as installed. @param {string} path */
  installed(path) {
    return join(this.dir, "node_modules/@webwaka/realtime", path);
  }

  /** Copies a folder of the package as installed. @param {string} path @param {string} to */
  copy(path, to) {
    cpSync(this.installed(path), join(this.dir, to), { recursive: true });
  }

  /** Runs a file with Node, here, and gives what it prints. @param {string[]} args */
  node(...args) {
    return this.#run(this.dir, process.execPath, args);
  }

  /** Runs a tool of a package, here. @param {string} name @param {string[]} args */
  tool(name, ...args) {
    return this.#run(this.dir, join(this.dir, "node_modules/.bin", name), args);
  }

  remove() {
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** @param {string} dir @param {string[]} args */
  #npm(dir, ...args) {
    return this.#run(dir, "npm", args);
  }

  /** @param {string} dir @param {string} program @param {string[]} args */
  #run(dir, program, args) {
    try {
      return execFileSync(program, args, { cwd: dir, encoding: "utf8", stdio: "pipe" });
    } catch (error) {
      const { stdout, stderr } = /** @type {{ stdout: string, stderr: string }} */ (error);
      throw new Error(`${program} ${args.join(" ")} failed:\n${stdout}${stderr}`);
    }
  }
}

/** The name and version of a package that these tests have, which may be under an alias. @param {string} tool */
function installedHere(tool) {
  const manifest = JSON.parse(readFileSync(join(HERE, "node_modules", tool, "package.json"), "utf8"));
  return `${manifest.name}@${manifest.version}`;
}
