/**
 * What counts and changes of sets come to in documents that are written whole. Elsewhere the engine and the server
 * work that out, and keep what several devices did at one time.
 */
import { RealtimeError } from "./errors.js";

type Fields = Readonly<Record<string, unknown>>;

/** The fields that were counted, as they are then. */
export function counted(seen: Fields, by: object): Fields {
  return each(by, (name, amount) => {
    const sum = (seen[name] ?? 0) as number;
    if (!Number.isSafeInteger(sum) || !Number.isSafeInteger(sum + (amount as number))) {
      throw unfit(`the field ${name} holds no whole number that can be counted on`);
    }
    return sum + (amount as number);
  });
}

/** The sets with their new members. */
export function joined(seen: Fields, members: object): Fields {
  return each(members, (name, list) => {
    const set = setOf(seen, name);
    const known = new Set(set.map((member) => JSON.stringify(member)));
    const fresh = (list as unknown[]).filter((member) => {
      const text = JSON.stringify(member);
      return known.has(text) ? false : known.add(text);
    });
    return [...set, ...fresh];
  });
}

/** The sets without the members taken out. */
export function parted(seen: Fields, members: object): Fields {
  return each(members, (name, list) => {
    const gone = new Set((list as unknown[]).map((member) => JSON.stringify(member)));
    return setOf(seen, name).filter((member) => !gone.has(JSON.stringify(member)));
  });
}

function each(named: object, value: (name: string, change: unknown) => unknown): Fields {
  return Object.fromEntries(Object.entries(named).map(([name, change]) => [name, value(name, change)]));
}

function setOf(seen: Fields, name: string): readonly unknown[] {
  const value = seen[name] ?? [];
  if (!Array.isArray(value)) {
    throw unfit(`the field ${name} holds no list that could be a set`);
  }
  return value;
}

function unfit(message: string): RealtimeError {
  return new RealtimeError("invalid_operation", `${message}; nothing was stored`);
}
