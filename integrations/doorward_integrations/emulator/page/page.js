"use strict";
// Whatever comes from a token, a policy or a service is shown as text, and never as markup. What is pasted goes to
// this origin only: into no address, no history and no storage.

const byId = (id) => document.getElementById(id);
const state = { minted: null, held: null, effectOf: null, lastDecision: 0 };

// Characters that no eye sees, or that change the direction of others, are written as escapes.
const HIDDEN = /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Cs}\p{Zl}\p{Zp}]/gu;
function visible(text) {
  return String(text).replace(HIDDEN, (one) => `\\u{${one.codePointAt(0).toString(16)}}`);
}

function make(name, settings = {}, ...inside) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(settings)) {
    if (key === "class") made.className = value;
    else if (key.startsWith("aria-")) made.setAttribute(key, value);
    else made[key] = value;
  }
  for (const one of inside) {
    if (one !== null) made.append(one instanceof Node ? one : document.createTextNode(visible(one)));
  }
  return made;
}

function shortened(token) {
  return `${token.slice(0, 12)}… ${token.length} characters`;
}

function problem(text) {
  byId("problem").hidden = !text;
  byId("problem").textContent = visible(text);
}

async function ask(path, body) {
  const settings = { headers: { "X-Doorward-Emulator": "1" }, cache: "no-store", redirect: "error" };
  if (body !== undefined) {
    settings.method = "POST";
    settings.headers["Content-Type"] = "application/json";
    settings.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(`/doorward/v1/${path}`, settings);
  } catch {
    throw new Error("The emulator does not answer: is it still running?");
  }
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error.message ?? found.error);
  return found;
}

// Runs what a person has asked for: one mistake is shown in one place.
function onAsk(element, event, work) {
  element.addEventListener(event, async (happened) => {
    happened.preventDefault();
    problem("");
    try {
      await work();
    } catch (error) {
      problem(error.message);
      byId("problem").scrollIntoView({ block: "nearest" });
    }
  });
}

// Identities, keys, services.

function showState(found) {
  byId("project").textContent = visible(found.project);
  byId("known").replaceChildren(...found.accounts.map((one) => make("option", { value: one.email })));
  byId("identities").replaceChildren(...found.accounts.map(identity));
  byId("keys").replaceChildren(...found.keys.map((key) => make("li", {},
    make("code", {}, key.kid.slice(0, 16), "…"), " ",
    make("span", { class: key.signs ? "tag good" : "tag" }, key.signs ? "signs now" : "published"))));
  if (!byId("mint-email").value) byId("mint-email").value = found.accounts.find((one) => one.default).email;
  byId("policy").hidden = found.services === null;
  byId("services").replaceChildren(...(found.services ?? []).map((name) => make("option", { value: name })));
  if (!byId("policy-service").value && found.services?.length) byId("policy-service").value = found.services[0];
}

function identity(one) {
  const use = make("button", { type: "button", "aria-label": `Mint a token of ${visible(one.email)}` }, "Use");
  use.addEventListener("click", () => {
    byId("mint-email").value = one.email;
    byId("mint-audience").focus();
  });
  return make("li", { class: "identity" }, make("span", {}, one.email, " ",
    one.default ? make("span", { class: "tag" }, "default") : null), use);
}

// Mint.

onAsk(byId("mint-form"), "submit", async () => {
  const audience = byId("mint-audience").value;
  const account = byId("mint-email").value;
  state.minted = { account, audience, ...await ask("tokens", { account, audience }) };
  byId("minted").hidden = false;
  byId("minted-token").textContent = shortened(state.minted.token);
  const until = new Date(state.minted.expires_at * 1000).toLocaleTimeString();
  byId("minted-until").textContent = `of ${visible(state.minted.account)}, until ${until}`;
  if (!byId("explain-audience").value) byId("explain-audience").value = audience;
});

onAsk(byId("minted-copy"), "click", async () => {
  try {
    await navigator.clipboard.writeText(state.minted.token);
  } catch {
    throw new Error("The browser does not let this page copy.");
  }
  byId("minted-copy").textContent = "Copied";
  setTimeout(() => { byId("minted-copy").textContent = "Copy"; }, 1500);
});

onAsk(byId("minted-explain"), "click", async () => {
  hold(state.minted.token);
  byId("explain-audience").value ||= state.minted.audience;
  await explain();
  byId("explain").scrollIntoView({ block: "start" });
});

// Explain.

function hold(token) {
  state.held = token;
  byId("explain-token").value = "";
  byId("explain-token").hidden = token !== null;
  byId("explain-held").hidden = token === null;
  byId("explain-held").querySelector("code").textContent = token === null ? "" : visible(shortened(token));
}

byId("explain-again").addEventListener("click", () => {
  hold(null);
  byId("explained").hidden = true;
  byId("explain-token").focus();
});

onAsk(byId("explain-form"), "submit", async () => {
  if (state.held === null) {
    if (!byId("explain-token").value.trim()) throw new Error("Paste a token, or mint one.");
    hold(byId("explain-token").value.trim());
  }
  await explain();
});

async function explain() {
  const found = await ask("page/explain", {
    token: state.held,
    audience: byId("explain-audience").value,
    policy: byId("explain-policy").value,
    method: byId("explain-method").value,
    path: byId("explain-path").value,
    host: byId("explain-host").value,
  });
  byId("explained").hidden = false;
  byId("verdict").replaceChildren(
    make("span", { class: found.admitted ? "tag good" : "tag bad" }, String(found.status)), " ",
    make("span", { class: "verdict" }, found.admitted ? `Admitted: ${found.principal ?? "anonymous"}` : found.message));
  if (found.advice && !found.checks.some((check) => check.advice === found.advice)) {
    byId("verdict").append(make("p", { class: "quiet" }, found.advice));
  }
  byId("checks").tBodies[0].replaceChildren(...found.checks.map(checkRow));
  byId("decided").replaceChildren(...(found.policy === null ? [] : policyLines(found.policy)));
}

const MARKS = { passed: ["tag good", "✓ passed"], failed: ["tag bad", "✗ failed"], not_reached: ["tag", "– skipped"] };

// Times are in seconds since the epoch: a person reads them by the clock on the wall.
function withTimes(text) {
  return text.replace(/\b(exp|iat|nbf) (\d{9,11})\b/g,
    (_, name, seconds) => `${name} ${seconds} (${new Date(seconds * 1000).toLocaleString()})`);
}

function checkRow(check) {
  const [look, word] = MARKS[check.outcome];
  const said = make("td", { class: "said" }, make("span", {}, withTimes(check.seen)));
  if (check.outcome === "failed") {
    said.append(make("p", { class: "quiet" }, `Expected: ${check.expected}`), make("p", {}, check.advice));
  }
  return make("tr", {}, make("th", { scope: "row" }, check.name),
    make("td", { class: "mark" }, make("span", { class: look }, word)), said);
}

function grants(value) {
  if (value === null) return make("span", { class: "tag warn" }, "undecided");
  return make("span", { class: value ? "tag good" : "tag" }, value ? "grants" : "does not grant");
}

function policyLines(policy) {
  const lines = [make("h3", {}, "What the policy says")];
  const rows = make("ul", { class: "rows" });
  for (const rule of policy.deny) {
    rows.append(make("li", {}, `deny ${rule.rule}: ${rule.reason}`));
  }
  for (const binding of policy.bindings) {
    const row = make("li", {}, grants(binding.grants), " ", make("b", {}, binding.role), ` ${binding.binding}`);
    for (const member of binding.members.slice(0, 10)) {
      row.append(make("p", { class: "quiet" }, `${member.member}: ${member.reason}`));
    }
    if (binding.condition !== null) {
      row.append(make("p", {}, `condition ${binding.condition}: ${binding.condition_reason || "holds"}`));
    }
    rows.append(row);
  }
  if (!rows.children.length) rows.append(make("li", {}, "No binding holds the permission to invoke."));
  lines.push(rows);
  for (const remark of policy.remarks) lines.push(make("p", { class: "note" }, remark));
  return lines;
}

// Policies of services.

async function load() {
  const service = byId("policy-service").value;
  const found = await ask(`page/policy?service=${encodeURIComponent(service)}`);
  byId("policy-text").value = JSON.stringify(found.policy, null, 2);
  byId("effect").hidden = true;
  effectIsOf(null);
}

function effectIsOf(text) {
  state.effectOf = text;
  byId("policy-save").disabled = text === null;
}

onAsk(byId("policy-load"), "click", load);
for (const id of ["policy-text", "policy-service"]) byId(id).addEventListener("input", () => effectIsOf(null));

onAsk(byId("policy-form"), "submit", async () => {
  const text = byId("policy-text").value;
  const found = await ask("page/effect", {
    service: byId("policy-service").value,
    policy: text,
    path: byId("explain-path").value,
    host: byId("explain-host").value,
  });
  const parts = [];
  for (const [kind, look, word] of [["gains", "tag good", "Gains"], ["loses", "tag bad", "Loses"],
    ["admitted", "tag", "Stays admitted"], ["refused", "tag", "Stays refused"]]) {
    if (!found[kind].length && (kind === "admitted" || kind === "refused")) continue;
    const names = found[kind].map((one) => make("li", {}, one.name,
      one.before === "undecided" || one.after === "undecided" ? ` (${one.before}, then ${one.after})` : ""));
    parts.push(make("h3", {}, make("span", { class: look }, `${word}: ${names.length || "none"}`)),
      make("ul", { class: "rows" }, ...names));
  }
  for (const remark of found.remarks) parts.push(make("p", { class: "note" }, remark));
  byId("effect").replaceChildren(...parts);
  byId("effect").hidden = false;
  byId("policy-note").textContent = "This is the effect on the known identities. It is not saved yet.";
  effectIsOf(text);
});

onAsk(byId("policy-save"), "click", async () => {
  const service = byId("policy-service").value;
  const found = await ask("page/policy", { service, policy: state.effectOf });
  byId("policy-text").value = JSON.stringify(found.policy, null, 2);
  byId("policy-note").textContent = "Saved. Doors that follow this service decide by it now.";
  effectIsOf(null);
  showState(await ask("page/state"));
});

// Keys.

async function rotate(withdraw) {
  showState(await ask("page/rotate", { withdraw }));
  byId("rotated").textContent = withdraw
    ? "A new key signs. The old one is published no longer: its tokens are refused once doors have fetched the keys."
    : "A new key signs. The old one is still published: its tokens stay good until they expire.";
}
onAsk(byId("rotate"), "click", () => rotate(false));
onAsk(byId("withdraw"), "click", () => rotate(true));

// Decisions.

function decisionRow(one) {
  const refused = one.outcome === "refused";
  const line = [
    make("span", { class: "quiet mono" }, new Date(one.time * 1000).toLocaleTimeString()),
    make("span", { class: refused ? "tag bad" : "tag good" }, refused ? `${one.status} ${one.reason}` : one.outcome),
    make("b", {}, one.service),
    make("span", { class: "mono" }, `${one.method} ${one.path}`.trim()),
  ];
  if (!refused) return make("li", { class: "decision" }, make("div", { class: "summary" }, ...spaced(line)));
  return make("li", { class: "decision" }, make("details", {},
    make("summary", {}, ...line, make("span", { class: "why" }, "why?")),
    one.message ? make("p", {}, one.message) : null,
    make("p", { class: "quiet" }, one.advice)));
}

function spaced(parts) {
  return parts.flatMap((part) => [part, " "]);
}

async function follow() {
  if (!document.hidden) {
    try {
      const found = await ask(`decisions?after=${state.lastDecision}`);
      for (const one of found.decisions) {
        state.lastDecision = one.number;
        byId("decisions").prepend(decisionRow(one));
      }
      while (byId("decisions").children.length > 50) byId("decisions").lastElementChild.remove();
      byId("decisions-none").hidden = state.lastDecision > 0;
    } catch (error) {
      problem(error.message);
    }
  }
  setTimeout(follow, 1500);
}

(async () => {
  try {
    showState(await ask("page/state"));
    if (!byId("policy").hidden && byId("policy-service").value) await load();
  } catch (error) {
    problem(error.message);
  }
  follow();
})();
