// The team's page: counts as they come, effects with their intervals, guardrails, and what can be done.

import { interval, table } from "./figures.js";
import { by, element, filled, request, say } from "./page.js";

const words = say.team;
const EVERY = 5000;
const KEY = "lexitrain-ab-token";
let timer = null;

function token() {
  return sessionStorage.getItem(KEY) ?? "";
}

function trouble(text) {
  by("trouble").textContent = text ?? "";
  by("trouble").hidden = !text;
}

function door(open) {
  by("door").hidden = !open;
  by("board").hidden = open;
  if (open) {
    clearTimeout(timer);
    by("token").focus();
  }
}

async function team(method, path, body) {
  const reply = await request(method, path, body, { Authorization: `Bearer ${token()}` });
  if (reply === null) {
    trouble(words.unreachable);
    return null;
  }
  if (reply.status === 401) {
    sessionStorage.removeItem(KEY);
    trouble(words.wrong_token);
    door(true);
    return null;
  }
  if (reply.status === 429) {
    trouble(filled(words.too_often, { seconds: reply.headers.get("Retry-After") ?? "60" }));
    return null;
  }
  const content = await reply.json();
  if (!reply.ok) {
    trouble(words.refusals[content.error.code] ?? content.error.message);
    return null;
  }
  trouble();
  return content;
}

async function look() {
  clearTimeout(timer);
  if (!token()) return door(true);
  const state = await team("GET", "v1/team");
  if (state) {
    door(false);
    show(state);
  }
  if (token()) timer = setTimeout(look, EVERY);
}

const number = new Intl.NumberFormat(document.documentElement.lang, { maximumFractionDigits: 2 });
const share = new Intl.NumberFormat(document.documentElement.lang, { style: "percent", maximumFractionDigits: 1 });
const moment = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
const when = (seconds) => moment.format(new Date(1000 * seconds));

function show(state) {
  by("heading").textContent = state.experiment;
  by("begun").textContent = filled(words.begun, {
    begun: when(state.begun), ratio: number.format(100 * state.ratio), now: when(state.now),
  });
  by("running").textContent = state.stopped ? filled(words.stopped, { arm: state.stopped }) : words.running;
  by("running").className = state.stopped ? "wrong" : "quiet";
  switches(state);
  by("tiles").replaceChildren(...["a", "b"].map((arm) => tile(arm, state)));
  by("guardrails").replaceChildren(guardrails(state));
  report(state.report);
  figures(state);
  list("events", [...state.events].reverse().map(event));
  list("failures", [...state.failures].reverse().map(({ at, arm, what }) =>
    `${when(at)} · ${filled(words.arm, { arm })} · ${what}`));
}

function list(id, lines) {
  by(id).replaceChildren(lines.length
    ? element("ul", { className: "plain" }, ...lines.map((line) => element("li", {}, line)))
    : element("p", { className: "quiet" }, words.none));
}

function event({ at, kind, arm, details }) {
  const more = Object.entries(details).map(([name, value]) =>
    `${words.details[name] ?? name} ${words.details[value] ?? words[value] ?? (typeof value === "number" ? number.format(value) : value)}`);
  return `${when(at)} · ${filled(words.kinds[kind] ?? kind, { arm: arm ?? "" })}${more.length ? ` · ${more.join(", ")}` : ""}`;
}

function switches(state) {
  // Kept where they are what they were: a button that is rebuilt loses the keyboard's focus.
  const wanted = state.stopped ? `resume ${state.stopped}` : "stop";
  if (by("switches").dataset.wanted === wanted) return;
  by("switches").dataset.wanted = wanted;
  const buttons = state.stopped
    ? [["resume", state.stopped]]
    : [["stop", "a"], ["stop", "b"]];
  by("switches").replaceChildren(...buttons.map(([what, arm]) => {
    const button = element("button", { type: "button", className: what === "stop" ? "danger" : "" }, filled(words[what], { arm }));
    button.addEventListener("click", () => (what === "stop" ? ask(arm) : act(what, arm)));
    return button;
  }));
}

function ask(arm) {
  by("sure-text").textContent = filled(words.sure_stop, { arm });
  by("sure").dataset.arm = arm;
  by("sure").showModal();
}

async function act(what, arm) {
  const state = await team("POST", `v1/team/${what}`, { arm });
  if (state) show(state);
}

function tile(arm, state) {
  const counts = state.counts[arm];
  const rows = [
    [words.learners, counts.learners], [words.requests, counts.requests],
    [words.rated, counts.rated],
    [words.helpful, part(counts.helpful, counts.helpful + counts.not_helpful)],
    [words.stars, counts.starred ? number.format(counts.stars / counts.starred) : "–"],
    [words.fixed, part(counts.fixed, counts.fixed + counts.not_fixed)],
    [words.corrected, counts.corrected],
    [words.error, counts.states.error], [words.invalid, counts.states.invalid],
    [words.gone, counts.states.gone], [words.open, counts.states.open],
    ...(counts.elsewhere ? [[words.elsewhere, counts.elsewhere]] : []),
    [words.tasks, Object.entries(counts.tasks).map(([task, some]) => `${task} ${some}`).join(", ") || "–"],
  ];
  return element("section", { className: `card arm-${arm}` },
    element("h2", {}, filled(words.arm, { arm })),
    element("p", { className: "quiet" }, state.models[arm]),
    table(null, rows.map(([name, value]) => [name, typeof value === "number" ? number.format(value) : value])));
}

function part(some, all) {
  return all ? `${share.format(some / all)} (${some} ${words.of} ${all})` : "–";
}

function guardrails(state) {
  const rows = ["a", "b"].flatMap((arm) => state.guardrails[arm].map((each) => [
    filled(words.arm, { arm }),
    words[each.name],
    measured(each, each.value),
    measured(each, each.limit),
    number.format(each.requests),
    each.passed
      ? element("span", { className: "wrong" }, words.passed)
      : each.value === null ? words.few : element("span", { className: "good" }, words.ok),
  ]));
  return table([words.arm_head, words.guardrail, words.value, words.limit, words.requests, words.state], rows);
}

function figures({ now, reported, report_trouble: wrong }) {
  const age = reported === null ? "" : filled(words.figures, { when: when(reported), seconds: number.format(Math.max(0, Math.round(now - reported))) });
  by("figures").textContent = [age, wrong === null ? "" : filled(words.no_figures, { wrong })].join(" ").trim();
  by("figures").className = wrong === null ? "quiet" : "wrong";
}

function measured(each, value) {
  if (value === null) return "–";
  return each.name === "p95_seconds" ? `${number.format(value)} ${words.seconds}` : share.format(value);
}

function report(found) {
  if (!found) {
    by("verdict").replaceChildren(element("p", {}, words.no_report));
    by("effects").replaceChildren(element("p", { className: "quiet" }, words.no_report));
    return;
  }
  const language = document.documentElement.lang;
  by("verdict").replaceChildren(
    ...found.headline[language].map((line) => element("p", {}, element("strong", {}, line))),
    ...found.reasons[language].map((line) => element("p", { className: "quiet" }, line)));
  const rows = found.effects.map((each) => [
    words.metrics[each.name] ?? each.title,
    each.difference === null ? "–" : number.format(each.difference),
    each.low === null ? "–" : `${number.format(each.low)} … ${number.format(each.high)}`,
    each.low === null ? "" : interval({ ...each, name: words.metrics[each.name] ?? each.title }),
  ]);
  by("effects").replaceChildren(table([words.metric, words.effect, words.interval, words.picture], rows));
}

by("door").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, by("token").value.trim());
  by("token").value = "";
  look();
});
by("close").addEventListener("click", () => {
  sessionStorage.removeItem(KEY);
  door(true);
});
by("sure").addEventListener("close", () => {
  if (by("sure").returnValue === "yes") act("stop", by("sure").dataset.arm);
  by("sure").returnValue = "";
});
by("forget").addEventListener("submit", async (event) => {
  event.preventDefault();
  const deleted = await team("DELETE", `v1/team/learners/${encodeURIComponent(by("learner").value.trim())}`);
  if (!deleted) return;
  by("forgotten").textContent = filled(words.deleted, deleted);
  by("forget").reset();
});
const told = new URLSearchParams(location.hash.slice(1)).get("token");
if (told) {
  sessionStorage.setItem(KEY, told);
  history.replaceState(null, "", location.pathname + location.search);  // not for the browser's history
}
look();
