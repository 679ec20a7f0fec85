/** Requests to the plain endpoint. A refusal is an error, which the contenders would try again after. */
export const post = (url, body) =>
  ask(url, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

export const get = (url) => ask(url);

async function ask(url, options) {
  const response = await fetch(url, options);
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  return response.json();
}
