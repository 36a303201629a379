// The learners' page: consent, a question, its answer as it comes, and what the learner says of it.

import { readable } from "./answers.js";
import { by, element, filled, request, say } from "./page.js";

const longest = Number(document.body.dataset.longest);
let exposure = null;
let revisions = { rating: 0, outcome: 0 };
let asking = false;

function show(id, shown = true) {
  by(id).hidden = !shown;
}

function trouble(text) {
  by("trouble").textContent = text ?? "";
  show("trouble", Boolean(text));
}

/** Why a request was refused, for the learner. */
async function reason(reply) {
  if (reply === null) return say.unreachable;
  if (reply.status === 429) return filled(say.too_often, { seconds: reply.headers.get("Retry-After") ?? "60" });
  return reply.status >= 500 ? say.no_answer : say.refused;
}

async function begin() {
  const reply = await request("GET", "v1/consent");
  if (!reply?.ok) return trouble(await reason(reply));
  const consent = await reply.json();
  if (consent.version !== document.body.dataset.consent) return location.reload();
  show("consent", !consent.agreed);
  ["ask", "footer"].forEach((id) => show(id, consent.agreed));
}

async function agree() {
  const reply = await request("POST", "v1/consent", { version: document.body.dataset.consent, agreed: true });
  if (!reply?.ok) return trouble(await reason(reply));
  trouble();
  show("consent", false);
  ["ask", "footer"].forEach((id) => show(id));
  by("text").focus();
}

function count() {
  by("count").textContent = filled(say.count, { used: by("text").value.length, longest });
}

function chooseTask() {
  const task = by("ask").elements.task.value;
  for (const hint of document.querySelectorAll(".hint")) hint.hidden = hint.dataset.task !== task;
}

function forget() {
  exposure = null;
  revisions = { rating: 0, outcome: 0 };
  by("rating").reset();
  by("rating").querySelector("details").open = false;
  by("saved").textContent = "";
  show("rating", false);
  by("said").replaceChildren();
}

async function ask(event) {
  event.preventDefault();
  const text = by("text").value.trim();
  if (asking || !text) return by("text").focus();
  asking = true;
  by("send").setAttribute("aria-disabled", "true");
  trouble();
  forget();
  show("answer");
  by("state").textContent = say.waiting;
  by("answer").scrollIntoView({ block: "nearest" });
  const task = by("ask").elements.task.value;
  const reply = await request("POST", `v1/tutor/${encodeURIComponent(task)}`, { text, stream: true });
  let answered = false;
  if (reply?.ok) {
    try {
      answered = await listen(reply, task, text);
    } catch { /* the connection broke in the middle */ }
    if (!answered) trouble(say.no_answer);
  } else if (reply && [401, 403].includes(reply.status)) {
    await begin();  // the consent has changed, or the data was deleted elsewhere
  } else {
    trouble(await reason(reply));
  }
  if (!answered) show("answer", false);
  by("state").textContent = "";
  by("send").removeAttribute("aria-disabled");
  asking = false;
  if (answered) by("answer-heading").focus();
}

/** Read the events of an answer; whether it came to its end. */
async function listen(reply, task, text) {
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return false;
    rest += value;
    const events = rest.split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const [, name, data] = /^event: (\w+)\ndata: (.*)$/s.exec(event) ?? [];
      if (name === "piece") by("state").textContent = say.writing;
      if (name === "failed") return false;
      if (name === "answer") {
        const answer = JSON.parse(data);
        exposure = answer.exposure;
        by("said").replaceChildren(...readable(task, text, answer));
        show("rating");
        return true;
      }
    }
  }
}

async function tell(kind, path, body) {
  if (!exposure) return;
  const about = exposure;
  revisions[kind] += 1;
  by("saved").textContent = say.saving;
  const reply = await request("POST", path, { exposure: about, revision: revisions[kind], ...body });
  if (about !== exposure) return;
  by("saved").textContent = reply?.ok || reply?.status === 409 ? say.saved : await reason(reply);
}

function rate() {
  const form = by("rating").elements;
  const body = {};
  if (form.helpful.value) body.helpful = form.helpful.value === "true";
  if (form.stars.value) body.stars = Number(form.stars.value);
  const corrected = by("corrected").value.trim();
  if (corrected) body.corrected = corrected;
  if (Object.keys(body).length) tell("rating", "v1/ratings", body);
}

async function remove() {
  const reply = await request("DELETE", "v1/learner");
  if (!reply?.ok) return trouble(await reason(reply));
  forget();
  ["answer", "ask", "footer"].forEach((id) => show(id, false));
  by("text").value = "";
  const { exposures } = await reply.json();
  trouble();
  by("main").prepend(element("p", { className: "card notice", role: "status" }, filled(say.deleted, { exposures })));
  show("consent");
}

by("agree").addEventListener("click", agree);
by("ask").addEventListener("submit", ask);
by("text").addEventListener("input", count);
by("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) by("ask").requestSubmit();
});
for (const each of by("ask").elements.task.length ? by("ask").elements.task : [by("ask").elements.task]) {
  each.addEventListener("change", chooseTask);
}
by("rating").addEventListener("change", (event) => {
  if (event.target.type === "radio") rate();
});
by("rating").addEventListener("submit", (event) => {
  event.preventDefault();
  rate();
});
by("fixed").addEventListener("change", () => tell("outcome", "v1/outcomes", { fixed: by("fixed").checked }));
by("delete").addEventListener("click", () => by("sure").showModal());
by("sure").addEventListener("close", () => {
  if (by("sure").returnValue === "yes") remove();
  by("sure").returnValue = "";
});
count();
begin();
