// An answer as a person wants to read it, by its task.

import { element, filled, say } from "./page.js";
import { changes } from "./words.js";

const MARKS = { same: "span", gone: "del", new: "ins" };

/** The elements that show an answer. */
export function readable(task, text, answer) {
  if (answer.answer === null) return unreadable(answer.text);
  return (VIEWS[task] ?? fields)(answer.answer, text);
}

const VIEWS = {
  grammar(answer, text) {
    const runs = changes(text, answer.corrected);
    if (runs.every(([kind]) => kind === "same")) {
      return [element("p", { className: "good" }, say.nothing_to_correct), sentence(answer.corrected)];
    }
    const marked = element("p", { className: "sentence", lang: "en" });
    runs.forEach(([kind, words], place) => {
      const run = element(MARKS[kind]);
      if (kind !== "same") run.append(unseen(say[kind]));
      run.append(words.trimEnd());
      if (kind !== "same") run.append(unseen("."));
      const apart = kind === "gone" && runs[place + 1]?.[0] === "new" ? " " : "";
      marked.append(run, words.slice(words.trimEnd().length) || apart);
    });
    const found = [
      element("h3", {}, say.changes), marked,
      element("h3", {}, say.corrected), sentence(answer.corrected),
    ];
    if (answer.errors.length) {
      const list = element("ul", { className: "plain" });
      for (const { type, span } of answer.errors) {
        list.append(element("li", {}, `${say.error_types[type] ?? type}: `, element("q", { lang: "en" }, span)));
      }
      found.push(element("h3", {}, say.errors), list);
    }
    return found;
  },
  fluency(answer) {
    const hundred = Math.round(100 * answer.fluency_score);
    const said = filled(say.fluency, { score: hundred });
    return [
      element("p", { className: "sentence" }, said),
      element("meter", { min: 0, max: 1, low: 0.4, high: 0.7, optimum: 1, value: answer.fluency_score, "aria-label": said }),
      ...(answer.reasoning ? [element("p", { lang: "en" }, answer.reasoning)] : []),
    ];
  },
  vocabulary(answer) {
    const found = [
      element("h3", {}, say.level),
      element("p", {}, element("span", { className: "badge" }, answer.level), ` ${say.levels[answer.level] ?? ""}`),
    ];
    if (answer.key_words.length) {
      const list = element("ul", { className: "words", lang: "en" });
      for (const word of answer.key_words) list.append(element("li", {}, word));
      found.push(element("h3", {}, say.key_words), list);
    }
    return found;
  },
  dialogue(answer) {
    return [
      element("p", { className: "bubble", lang: "en" }, answer.response),
      ...(answer.pedagogical_goal
        ? [element("p", { className: "quiet" }, `${say.goal}: `, element("span", { lang: "en" }, answer.pedagogical_goal))]
        : []),
    ];
  },
  explanation(answer) {
    return [element("p", { className: "sentence", lang: "vi" }, answer.explanation)];
  },
};

/** Any other task's: names and values. */
function fields(answer) {
  return Object.entries(answer).flatMap(([name, value]) => [
    element("h3", {}, name),
    element("p", { className: "sentence" }, typeof value === "string" ? value : JSON.stringify(value)),
  ]);
}

function unreadable(text) {
  return [
    element("p", {}, say.unreadable),
    element("details", {}, element("summary", {}, say.as_it_came), element("pre", {}, text)),
  ];
}

function sentence(text) {
  return element("p", { className: "sentence", lang: "en" }, text);
}

function unseen(text) {
  return element("span", { className: "unseen" }, `${text} `);
}
