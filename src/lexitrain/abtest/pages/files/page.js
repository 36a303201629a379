// What both pages use. Texts are put into the page as text, never as markup.

export const say = JSON.parse(document.body.dataset.say);
export const by = (id) => document.getElementById(id);

/** An element with properties and children; a string is a text. */
export function element(name, properties = {}, ...children) {
  const found = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in found && key !== "list") found[key] = value;
    else found.setAttribute(key, value);
  }
  found.append(...children);
  return found;
}

/** A sentence with {names} filled in. */
export function filled(sentence, values) {
  return sentence.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/** The reply to a request with a JSON body; null where the service cannot be reached. */
export async function request(method, path, body, headers = {}) {
  const options = { method, headers: { ...headers } };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  try {
    return await fetch(path, options);
  } catch {
    return null;
  }
}
