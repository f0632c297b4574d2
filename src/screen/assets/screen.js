// The page of a call. What callers say and what tools answer only ever become text nodes: nothing here makes markup of it.
"use strict";

const asked = new URLSearchParams(location.search).get("lang") ?? navigator.languages?.[0] ?? "zh";
const zh = asked.startsWith("zh");

const WORDS = {
  zh: {
    unknown: "未知号码",
    phase: { talking: "机器人接待", waiting: "等待坐席", ringing: "坐席振铃", consulting: "坐席听摘要", bridged: "已接通坐席", ended: "已结束" },
    reason: { requested: "要求人工", key_zero: "按 0 转人工", safety: "涉及安全", upset: "客户不满", low_confidence: "机器人没有把握", broken: "系统故障" },
    mood: { uneasy: "略有不安", tense: "情绪紧张", upset: "情绪激动" },
    sign: { "angry words": "用词激烈", complaint: "在投诉", impatience: "不耐烦", distress: "着急害怕", "said again": "重复提问", "asked back": "被反问", louder: "声音变大", faster: "语速变快", before: "此前已如此" },
    disposition: { contained: "机器人办妥", transferred: "已转人工", callback: "约了回拨", abandoned: "客户挂断", silent: "无人说话", machine: "对方是答录机", failed: "通话中断" },
    outcome: { accepted: "已接", busy: "忙线", no_answer: "无人接", declined: "拒接", unreachable: "联系不上", seat_gone: "坐席中途离开", caller_gone: "客户先挂断", voicemail: "是语音信箱", no_seat: "没有可接的坐席", out_of_hours: "下班时间", queue_full: "排队已满", too_long: "等待超时", withdrawn: "客户不等了" },
    who: { caller: "客户", bot: "机器人", seat: "坐席" },
    tool: { done: "成功", refused: "被拒", failed: "失败", invalid: "未发送" },
    act: { answer: "作答", clarify: "反问", handoff: "转人工", use: "查询", goodbye: "道别", ignore: "不作答" },
    care: { safety: "涉及安全", dispute: "涉及费用或责任" },
    fact: { vehicle: "车辆", plate: "车牌", model: "车型", model_year: "年款", phone: "电话", city: "城市", service: "项目", centre: "门店", date: "日期", start: "时间", which: "所选车辆", name: "姓名", address: "称呼", order: "订单", problem: "问题", place: "地点", surname: "姓", tail: "尾号", mileage: "里程", proven: "身份已核对", record: "要查的登记", proof: "核对用语", part: "配件", item: "配件", booking: "预约", book: "要预约", check: "要检查", job: "救援单", safe: "人已安全", person: "称呼", what: "内容", want: "要做", about: "投诉内容", like: "声音", moment: "何时出现", sudden: "突然发生", cold: "天冷时" },
    on_file: "已登记客户", not_on_file: "未登记号码", ahead: (n) => `前面还有 ${n} 位`, wait: (m) => `预计 ${m} 分钟`,
    callback: (c) => `回拨 ${c.number} · ${c.when}`, recorded: "有录音",
    about: (w) => `针对“${w}”`, sure: (n) => `把握 ${n}%`, unsure: "没有找到把握大的答复，以下仅供参考。", nothing: "没有找到相近的已审核答复。",
    copy: "复制", copied: "已复制", select: "已选中，请按 Ctrl+C", used: "机器人已用", clear: "关闭",
    machine: (a, n) => `机器人的判断：${a}，把握 ${n}%`, would: "未说出的答案：", withheld: "因没有依据而未说：",
    interrupted: "被打断", heard: "只显示客户听到的部分", doubtful: "可能听错", speaking: "正在说…",
    bridged: "坐席接通", seats: (s) => `已呼叫：${s}`, preview: "坐席接听时将播报", gone: "此条已停用", flow: "办理流程", none: "暂无",
    lost: "连接中断，正在重新连接…", closed: "此链接已失效。", yes: "是", no: "否",
  },
  en: {
    unknown: "unknown number",
    phase: { talking: "with the bot", waiting: "waiting for a seat", ringing: "seat is ringing", consulting: "seat hears the summary", bridged: "with a seat", ended: "ended" },
    reason: { requested: "asked for a person", key_zero: "pressed 0", safety: "danger", upset: "upset", low_confidence: "bot was not sure", broken: "system failure" },
    mood: { uneasy: "a little uneasy", tense: "tense", upset: "upset" },
    sign: { "angry words": "angry words", complaint: "complains", impatience: "impatient", distress: "in distress", "said again": "asks again", "asked back": "was asked back", louder: "louder", faster: "faster", before: "before, too" },
    disposition: { contained: "solved by the bot", transferred: "transferred", callback: "call-back booked", abandoned: "caller hung up", silent: "nobody spoke", machine: "a machine answered", failed: "call broke off" },
    outcome: { accepted: "accepted", busy: "busy", no_answer: "no answer", declined: "declined", unreachable: "unreachable", seat_gone: "seat left", caller_gone: "caller hung up first", voicemail: "voicemail", no_seat: "no seat", out_of_hours: "out of hours", queue_full: "queue full", too_long: "waited too long", withdrawn: "caller did not want to wait" },
    who: { caller: "Caller", bot: "Bot", seat: "Seat" },
    tool: { done: "done", refused: "refused", failed: "failed", invalid: "not sent" },
    act: { answer: "answer", clarify: "ask back", handoff: "hand over", use: "look up", goodbye: "say goodbye", ignore: "say nothing" },
    care: { safety: "safety", dispute: "money or blame" },
    fact: { vehicle: "Vehicle", plate: "Plate", model: "Model", model_year: "Model year", phone: "Phone", city: "City", service: "Service", centre: "Centre", date: "Date", start: "Time", which: "Chosen car", name: "Name", address: "Addressed as", order: "Order", problem: "Problem", place: "Place", surname: "Surname", tail: "Last digits", mileage: "Mileage", proven: "Identity checked", record: "Record asked for", proof: "Proof given", part: "Part", item: "Part", booking: "Booking", book: "Wants a booking", check: "Wants a check", job: "Rescue", safe: "Everybody safe", person: "Person", what: "What", want: "Wants", about: "Complaint about", like: "Noise", moment: "When it comes", sudden: "Suddenly", cold: "In the cold" },
    on_file: "on file", not_on_file: "not on file", ahead: (n) => `${n} before`, wait: (m) => `about ${m} min`,
    callback: (c) => `call back ${c.number} · ${c.when}`, recorded: "recorded",
    about: (w) => `For “${w}”`, sure: (n) => `${n}% sure`, unsure: "Nothing fits for certain; these come near.", nothing: "No approved answer comes near.",
    copy: "Copy", copied: "Copied", select: "Selected: press Ctrl+C", used: "used by the bot", clear: "Close",
    machine: (a, n) => `The bot came to: ${a}, ${n}% sure`, would: "Answer that was not said: ", withheld: "Withheld for want of a source: ",
    interrupted: "cut short", heard: "only what the caller has heard", doubtful: "may be misheard", speaking: "speaking…",
    bridged: "seat joined", seats: (s) => `called: ${s}`, preview: "will be told when a seat answers", gone: "out of use", flow: "flow", none: "nothing yet",
    lost: "Connection lost, trying again…", closed: "This link is not valid any more.", yes: "yes", no: "no",
    skip: "Skip to the conversation", talk: "Conversation", latest: "Back to the latest", summary: "Summary", advice: "Suggested answers",
    question: "Look up the knowledge", find: "Find", no_advice: "Approved answers appear here once the caller has said what it is about.",
    facts: "What is known", tools: "Looked up and done", sources: "Knowledge that the bot used", placeholder: "look up, e.g. charging limit",
  },
};
const T = zh ? WORDS.zh : WORDS.en;

const $ = (id) => document.getElementById(id);

/** An element with attributes and children; texts become text nodes. */
function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "onclick") node.addEventListener("click", value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

const list = (words, name) => words[name] ?? name;
const percent = (share) => Math.min(99, Math.round(100 * share));
const language = (text) => (/[\u4e00-\u9fff]/.test(text) ? "zh-CN" : "en");
const clock = (ms) => {
  const s = Math.max(0, Math.floor(ms / 1000));
  const two = (n) => String(n).padStart(2, "0");
  return s < 3600 ? `${two(Math.floor(s / 60))}:${two(s % 60)}` : `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
};
const grouped = (number) => (/^1\d{10}$/.test(number) ? `${number.slice(0, 3)} ${number.slice(3, 7)} ${number.slice(7)}` : number);
const title = (entry) => (zh ? entry.title : entry.title_en || entry.title) ?? entry.id;
const called = (thing) => [thing.name, thing.model, thing.model_year, thing.plate, thing.address].filter(Boolean).join(" ");
const value = (fact) => {
  if (typeof fact === "boolean") return fact ? T.yes : T.no;
  return fact !== null && typeof fact === "object" ? called(fact) : String(fact);
};

/** What is known of the call, by section. */
const call = {};
let began = null;

const SECTIONS = {
  call: head, state: () => { head(); summary(); }, caller: head, mood: head, callback: head,
  handoff: () => { head(); summary(); conversation(); },
  turns: conversation, tools: () => { conversation(); tools(); }, moment, facts, sources, advice,
};

function update(changes) {
  for (const [name, section] of Object.entries(changes)) {
    if (name === "turns" && !Array.isArray(section)) call.turns = [...(call.turns ?? []).slice(0, section.from), ...section.items];
    else call[name] = section;
  }
  const draws = Object.keys(changes).map((name) => SECTIONS[name]).filter(Boolean);
  for (const draw of new Set(draws)) draw();
}

function head() {
  const { caller, state, handoff, mood, callback } = call;
  if (!caller || !state) return;
  const user = caller.from.replace(/^(sips?|tel):/, "").split("@")[0];
  const number = caller.number ? grouped(caller.number) : user && user !== "anonymous" ? user : T.unknown;
  $("who").textContent = caller.address ? `${caller.address} · ${number}` : number;
  $("detail").textContent = (caller.vehicles ?? []).map(called).join(" / ");
  $("phase").textContent = list(T.phase, state.phase);
  $("phase").className = `phase ${state.phase}`;
  document.title = `${list(T.phase, state.phase)} · ${caller.address ?? number} · Nightline`;
  const chip = (text, kind) => el("li", { class: `chip ${kind ?? ""}` }, text);
  const chips = [];
  if (handoff) chips.push(chip(list(T.reason, handoff.reason), { safety: "bad", upset: "warn", broken: "warn" }[handoff.reason]));
  if (mood) {
    const why = mood.signs.map((sign) => list(T.sign, sign)).join(zh ? "、" : ", ");
    chips.push(chip(why ? `${list(T.mood, mood.name)}${zh ? `（${why}）` : ` (${why})`}` : list(T.mood, mood.name), mood.name === "upset" ? "bad" : mood.name === "tense" ? "warn" : ""));
  }
  if (caller.on_file !== null) chips.push(chip(caller.on_file ? T.on_file : T.not_on_file, caller.on_file ? "good" : ""));
  if (state.ahead !== null) chips.push(chip(T.ahead(state.ahead), "warn"));
  if (state.expected_ms !== null) chips.push(chip(T.wait(Math.max(1, Math.round(state.expected_ms / 60000)))));
  if (callback) chips.push(chip(T.callback(callback), "good"));
  if (state.phase === "ended" && state.disposition) chips.push(chip(list(T.disposition, state.disposition)));
  if (state.recorded) chips.push(chip(T.recorded));
  $("chips").replaceChildren(...chips);
  tick();
}

function tick() {
  const ms = call.state?.duration_ms ?? (began === null ? null : performance.now() - began);
  if (ms !== null) $("clock").textContent = clock(ms);
}

function summary() {
  const handoff = call.handoff;
  $("summary-card").hidden = !handoff;
  if (!handoff) return;
  $("summary").textContent = handoff.summary;
  const failed = handoff.failed.map((seat) => `${seat.seat} ${list(T.outcome, seat.outcome)}${seat.code ? ` (${seat.code})` : ""}`);
  const notes = [
    !handoff.summary_told && ["waiting", "ringing"].includes(call.state?.phase) ? T.preview : "",
    handoff.seats.length ? T.seats(handoff.seats.join(zh ? "、" : ", ")) : "",
    ...failed,
    handoff.outcome && handoff.outcome !== handoff.failed.at(-1)?.outcome ? list(T.outcome, handoff.outcome) : "",
  ];
  $("seats").textContent = notes.filter(Boolean).join(" · ");
}

/** Rows of the conversation as they are drawn, each with what it was drawn from. */
let rows = [];

function conversation() {
  const wanted = [
    ...(call.turns ?? []).map((turn) => ({ at: turn.began_ms, of: JSON.stringify(turn), draw: () => said(turn) })),
    ...(call.tools ?? []).map((tool) => ({ at: tool.at_ms, of: JSON.stringify(tool), draw: () => used(tool) })),
  ];
  if (call.handoff?.bridged_ms !== null && call.handoff?.bridged_ms !== undefined) {
    const at = call.handoff.bridged_ms;
    wanted.push({ at, of: `bridged ${at}`, draw: () => el("li", { class: "step good" }, `${clock(at)} ${T.bridged}`) });
  }
  wanted.sort((a, b) => a.at - b.at);
  let same = 0;
  while (same < rows.length && same < wanted.length && rows[same].of === wanted[same].of) same += 1;
  if (same === rows.length && same === wanted.length) return;
  const below = atEnd();
  for (const row of rows.slice(same)) row.node.remove();
  rows = [...rows.slice(0, same), ...wanted.slice(same).map((row) => ({ of: row.of, node: row.draw() }))];
  $("turns").append(...rows.slice(same).map((row) => row.node));
  if (below) toEnd();
  else $("latest").hidden = false;
}

function said(turn) {
  const doubtful = turn.who === "caller" && turn.confidence !== null && turn.confidence < 0.5;
  const named = (id) => (call.sources ?? []).find((entry) => entry.id === id);
  const ids = turn.sources.filter((id) => !id.startsWith("tool:")).map((id) => el("a", { href: `#source-${id}` }, named(id)?.title ? title(named(id)) : id));
  return el("li", { class: `turn ${turn.who}` },
    el("div", { class: "by" },
      el("span", null, list(T.who, turn.who)),
      el("time", null, clock(turn.began_ms)),
      turn.interrupted ? el("span", { class: "cut", title: T.heard }, `✂ ${T.interrupted}`) : "",
      doubtful ? el("span", { class: "cut" }, T.doubtful) : ""),
    el("p", { lang: language(turn.text) }, turn.text),
    ids.length ? el("div", { class: "ids" }, ids) : "");
}

const toolName = (tool) => (zh && tool.title ? tool.title : tool.tool.replaceAll("_", " "));

function used(tool) {
  const kind = tool.outcome === "done" ? (tool.changes ? "good" : "") : "bad";
  return el("li", { class: `step ${kind}` }, `${clock(tool.at_ms)} ${toolName(tool)} · ${list(T.tool, tool.outcome)}`);
}

function moment() {
  const { committed, tentative, caller_speaks: speaks, bot_speaks: answers } = call.moment;
  const partial = $("partial");
  const below = atEnd();
  const caller = speaks || committed || tentative;
  partial.hidden = !(caller || answers);
  partial.replaceChildren(
    el("span", { class: "by" }, `${caller ? T.who.caller : T.who.bot} · ${T.speaking}`),
    committed,
    el("span", { class: "guess" }, tentative));
  if (below && !partial.hidden) toEnd();
}

const scroll = $("scroll");
/** Whether the newest row is in sight. */
function atEnd() {
  return scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 48;
}
function toEnd() {
  scroll.scrollTop = scroll.scrollHeight;
  $("latest").hidden = true;
}

function advice() {
  const place = $("advice");
  const found = call.advice;
  if (!found?.entries && !found?.machine) return;
  const told = new Set((call.turns ?? []).flatMap((turn) => turn.sources));
  const nodes = found.entries ? suggestions(found, told) : [];
  const came = found.machine;
  // What it said is in the conversation.
  if (came && (came.answer || came.withheld.length || (came.act === "clarify" && !came.spoken))) nodes.push(machine(came));
  place.replaceChildren(...nodes);
}

function suggestions(found, used, keys = true) {
  const nodes = [el("p", { class: "about muted small" }, T.about(found.words), found.entries.length ? ` · ${T.sure(percent(found.confidence))}` : "")];
  if (!found.entries.length) nodes.push(el("p", { class: "muted" }, T.nothing));
  else if (found.confidence < 0.5) nodes.push(el("p", { class: "muted small" }, T.unsure));
  const items = found.entries.map((entry, at) => {
    const say = el("p", { class: "say", lang: language(entry.say) }, entry.say);
    const copy = el("button", { type: "button", accesskey: keys ? String(at + 1) : null, "aria-label": `${T.copy} ${title(entry)}`, onclick: () => take(say) }, T.copy);
    return el("li", { class: `entry ${at === 0 && found.confidence >= 0.5 ? "first" : ""}` },
      el("div", { class: "head" }, el("h3", null, title(entry)), copy),
      say,
      el("p", { class: "from" },
        el("span", null, `${entry.id} v${entry.version}`),
        entry.document ? el("span", null, [entry.document, entry.place].filter(Boolean).join(" · ")) : "",
        entry.models.length ? el("span", null, entry.models.join(" / ")) : "",
        entry.sensitivity !== "normal" ? el("span", { class: "chip warn" }, list(T.care, entry.sensitivity)) : "",
        used.has(entry.id) ? el("span", { class: "chip good" }, T.used) : ""));
  });
  nodes.push(el("ol", null, items));
  return nodes;
}

function machine(came) {
  return el("div", { class: "machine" },
    el("p", null, T.machine(list(T.act, came.act), percent(came.confidence))),
    came.answer ? el("p", { class: "say" }, el("span", { class: "muted" }, T.would), came.answer) : "",
    came.withheld.map((clause) => el("p", { class: "say" }, el("span", { class: "muted" }, T.withheld), clause)));
}

/** Copies the text of an element, or selects it where the browser does not let us. */
async function take(node) {
  try {
    await navigator.clipboard.writeText(node.textContent);
    $("said").textContent = T.copied;
  } catch {
    getSelection().selectAllChildren(node);
    $("said").textContent = T.select;
  }
}

function facts() {
  const pairs = Object.entries(call.facts ?? {}).flatMap(([name, fact]) => [el("dt", null, list(T.fact, name)), el("dd", null, value(fact))]);
  $("facts").replaceChildren(...(pairs.length ? pairs : [el("dd", { class: "muted" }, T.none)]));
}

function tools() {
  const items = (call.tools ?? []).map((tool) =>
    el("li", null, el("details", null,
      el("summary", null, `${clock(tool.at_ms)} ${toolName(tool)} `,
        el("span", { class: `state ${tool.outcome}` }, [list(T.tool, tool.outcome), tool.code, tool.took_ms >= 100 ? `${(tool.took_ms / 1000).toFixed(1)} s` : null].filter(Boolean).join(" · "))),
      el("dl", { class: "facts" }, tool.arguments.flatMap((given) => [el("dt", null, zh && given.label ? given.label : given.name), el("dd", null, given.value)])),
      el("pre", { tabindex: 0 }, tool.detail))));
  $("tools").replaceChildren(...(items.length ? items : [el("li", { class: "muted" }, T.none)]));
}

function sources() {
  const items = (call.sources ?? []).map((entry) => {
    const text = zh ? entry.say : entry.say_en ?? entry.say;
    const id = `source-${entry.id}`;
    if (entry.title && !text) return el("li", { class: "source", id }, title(entry), " ", el("span", { class: "muted small" }, T.flow));
    return el("li", { class: "source", id }, el("details", null,
      el("summary", null, entry.title ? title(entry) : entry.id, " ", el("span", { class: "muted small" }, entry.title ? entry.id : T.gone)),
      text ? el("p", { lang: language(text) }, text) : "",
      entry.document ? el("p", { class: "muted small" }, [entry.document, entry.place].filter(Boolean).join(" · ")) : ""));
  });
  $("sources").replaceChildren(...(items.length ? items : [el("li", { class: "muted" }, T.none)]));
}

async function search(event) {
  event.preventDefault();
  const question = $("question").value.trim();
  if (!question) return $("found").replaceChildren();
  const query = new URLSearchParams(location.search);
  query.set("q", question);
  const close = el("button", { type: "button", onclick: () => { $("found").replaceChildren(); $("question").focus(); } }, T.clear);
  try {
    const answer = await fetch(`${location.pathname}/ask?${query}`);
    if (!answer.ok) throw new Error(String(answer.status));
    $("found").replaceChildren(...suggestions(await answer.json(), new Set(), false), close);
  } catch {
    $("found").replaceChildren(el("p", null, T.lost), close);
  }
}

function notice(text) {
  $("link").textContent = text ?? "";
  $("link").hidden = !text;
}

function connect() {
  const stream = new EventSource(`${location.pathname}/events${location.search}`);
  const state = (event) => {
    const whole = JSON.parse(event.data);
    if (whole.elapsed_ms !== null && whole.elapsed_ms !== undefined) began = performance.now() - whole.elapsed_ms;
    notice(null);
    update(whole);
  };
  stream.addEventListener("state", state);
  stream.addEventListener("change", (event) => update(JSON.parse(event.data)));
  stream.addEventListener("end", () => {
    stream.close();
    // The call broke off without an end: its record tells more.
    if (call.state?.phase !== "ended") setTimeout(connect, 3000);
  });
  stream.addEventListener("error", async () => {
    notice(T.lost);
    if (stream.readyState !== EventSource.CLOSED) return;
    const page = await fetch(location.href).catch(() => null);
    if (page && (page.status === 403 || page.status === 404)) notice(T.closed);
    else setTimeout(connect, 5000);
  });
}

if (!zh) {
  document.documentElement.lang = "en";
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = T[node.dataset.t];
  $("question").placeholder = T.placeholder;
}
// A link to a source opens it.
addEventListener("hashchange", () => document.getElementById(decodeURIComponent(location.hash.slice(1)))?.querySelector("details")?.setAttribute("open", ""));
scroll.addEventListener("scroll", () => { if (atEnd()) $("latest").hidden = true; });
$("latest").addEventListener("click", () => { toEnd(); scroll.focus(); });
$("search").addEventListener("submit", search);
setInterval(tick, 500);
connect();
