/** Many at once through an interface for one: every call is made before the first is awaited. */
export const each = (one) => (entries) => Promise.all(entries.map(([id, value]) => one(id, value)));
