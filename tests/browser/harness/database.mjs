import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const reader = fileURLToPath(new URL("database.py", import.meta.url));

/** What the server's database holds, read from its file. */
export function database(server) {
  const text = execFileSync("python3", [reader, server.data], { encoding: "utf8", maxBuffer: 256 << 20 });
  return new Database(JSON.parse(text));
}

class Database {
  constructor(held) {
    this.held = held;
  }

  /** Judgements of operations, optionally of one person's, by client and sequence. */
  judgements(subject) {
    const { clients, judgements } = this.held;
    const theirs = new Set(
      clients.filter((row) => !subject || row.subject === subject).map((row) => row.client),
    );
    return judgements.filter((row) => theirs.has(row.client));
  }

  /** Living documents: id, values of the fields, and for each field the operation `[actor, seq]` it came from. */
  documents() {
    return this.held.documents
      .filter(({ state }) => state.written)
      .map(({ id, rev, state }) => {
        const latest = Object.entries(state.latest ?? {}).map(([name, v]) => [name, { v, s: state.written }]);
        const others = Object.entries(state.fields ?? {}).filter(([, register]) => "v" in register);
        const present = [...latest, ...others];
        return {
          id,
          rev,
          values: Object.fromEntries(present.map(([name, { v }]) => [name, v])),
          writers: Object.fromEntries(present.map(([name, { s }]) => [name, s.by])),
        };
      });
  }

  /** The living documents are those of these ids, and no others. */
  assertHolds(ids) {
    const held = this.documents().map(({ id }) => id);
    assert.deepEqual(held.sort(), [...ids].sort());
  }

  /** The one document whose title is this. */
  titled(title) {
    const found = this.documents().filter(({ values }) => values.title === title);
    assert.equal(found.length, 1, `documents titled "${title}"`);
    return found[0];
  }

  /** The name of a client's operations in stamps. */
  actor(client) {
    return this.held.clients.find((row) => row.client === client)?.actor;
  }

  /**
   * Every operation had one effect: the offsets of a collection are given out once each, without a gap, so an
   * effect that was had twice would be an offset that no judgement names.
   */
  assertEachOnce() {
    const positions = this.held.judgements.flatMap(({ judgement }) => judgement.position ?? []);
    for (const { key, epoch, head } of this.held.collections) {
      const offsets = positions.filter((position) => position.epoch === epoch).map(({ offset }) => offset);
      assert.deepEqual(
        offsets.sort((a, b) => a - b),
        Array.from({ length: head }, (_, index) => index + 1),
      );
      const revisions = this.held.documents
        .filter(({ collection }) => collection === key)
        .map(({ rev }) => rev);
      assert.equal(new Set(revisions).size, revisions.length, "two documents of one revision");
    }
  }

  /**
   * The operations of each client took effect in the order they were made in. Sequences may leave gaps: a client
   * that starts again does not use up what the one before had reserved.
   */
  assertInOrder() {
    const last = new Map();
    for (const { client, seq, judgement } of this.held.judgements) {
      // Offsets of two collections do not compare.
      const line = `${client} ${judgement.position?.epoch}`;
      const offset = judgement.position?.offset;
      const before = last.get(line) ?? { seq: 0, offset: 0 };
      assert.ok(offset > before.offset, `operation ${seq} of ${client} came before ${before.seq}`);
      last.set(line, { seq, offset });
    }
  }
}
