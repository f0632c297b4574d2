// The page of a seat: is told when a caller wants it, answers, and shows what the caller has said.
import { Line, Speech, keypad } from "./line.js";

const TEXTS = {
  zh: {
    title: "坐席", other: "English", on: "开始接听", off: "停止接听", answer: "接听", decline: "拒绝", hangup: "挂断",
    join: "接入来电（1）", refuse: "不接（2）", repeat: "再听一遍（3）", mute: "静音", unmute: "取消静音", keypad: "键盘",
    caller: "来电", topic: "事项", spoken: "语言", unknown: "未知", zh: "中文", en: "英语", level: "麦克风音量", screen: "来电详情",
    "off-state": "点击“开始接听”，并允许使用麦克风。", opening: "正在连接……", ready: "等待来电。请保持此页面打开。",
    ringing: "有来电！", microphone: "请允许使用麦克风……", calling: "正在接通……",
    up: "通话中：先听摘要，按 1 接入来电。", weak: "网络不稳定……", over: "通话已结束。", lost: "连接已中断。", gone: "来电已被接走、已转走或已挂断。等待下一个来电。",
    noMicrophone: "无法使用麦克风：请在浏览器中允许，并确认页面是 https 或 localhost。",
    noToken: "链接无效或已过期：请重新打开本页。", noSeat: "没有这个坐席：请检查配置。", busy: "服务器忙，请稍后再试。", failed: "没有接通：",
    replaced: "此坐席已在另一个页面打开。", again: "与服务器的连接已断开，正在重新连接……",
    reason: "原因", requested: "要求人工", key_zero: "按了 0", safety: "安全问题", upset: "客户不满", low_confidence: "机器不确定", broken: "系统故障",
  },
  en: {
    title: "Seat", other: "中文", on: "Take calls", off: "Take no calls", answer: "Answer", decline: "Decline", hangup: "Hang up",
    join: "Join the caller (1)", refuse: "Not me (2)", repeat: "Hear it again (3)", mute: "Mute", unmute: "Unmute", keypad: "Keypad",
    caller: "Caller", topic: "Matter", spoken: "Language", unknown: "unknown", zh: "Chinese", en: "English", level: "Microphone level", screen: "The call",
    "off-state": "Press “Take calls” and allow the microphone.", opening: "Connecting …", ready: "Waiting for calls. Keep this page open.",
    ringing: "A call!", microphone: "Please allow the microphone …", calling: "Connecting …",
    up: "In call: hear the summary, press 1 to join the caller.", weak: "The network is unsteady …", over: "The call is over.",
    lost: "The connection was lost.", gone: "The call went to somebody else, or the caller has hung up. Waiting for the next one.",
    noMicrophone: "The microphone cannot be used: allow it in the browser, and open this page by https or localhost.",
    noToken: "The link is not valid, or not any more: open this page again.", noSeat: "There is no such seat: see the configuration.",
    busy: "The server is busy, try again later.", failed: "No connection: ",
    replaced: "This seat has been opened in another page.", again: "The connection to the server is lost, trying again …",
    reason: "Why", requested: "wants a person", key_zero: "pressed 0", safety: "somebody may be in danger", upset: "is upset",
    low_confidence: "the machine is not sure", broken: "something is broken",
  },
};
// The stream is opened again after so long, and given up if nothing comes by it for so long: the server says something every 15 s.
const AGAIN = 2000;
const SILENT = 40_000;

const one = (id) => document.getElementById(id);
const main = document.querySelector("main");
const given = new URLSearchParams(location.hash.slice(1) || location.search.slice(1));
const speech = new Speech(TEXTS, given.get("lang"), one("language"), () => show(...state));
let state = ["off"];
// What the page goes back to after a call.
let rest = "off";
let page = null;
// What rings, and the call that is on, with what was told of it.
let ring = null;
let line = null;
let tone = null;
let listening = null;

function show(name, detail = "") {
  state = [name, detail];
  main.dataset.state = name;
  const up = ["up", "weak"].includes(name);
  const busy = up || ["microphone", "calling"].includes(name);
  const ringing = name === "ringing";
  const before = document.activeElement;
  one("state").textContent = speech.text(name === "off" ? "off-state" : name) + detail;
  document.title = (ringing ? "☎ " : "") + speech.text("title");
  one("on").hidden = busy || ringing || Boolean(listening);
  one("off").hidden = ringing || !listening;
  for (const id of ["answer", "decline"]) one(id).hidden = !ringing;
  for (const id of ["join", "refuse", "repeat", "mute", "level", "keypad"]) one(id).hidden = !up;
  one("hangup").hidden = !busy;
  const about = ring ?? line?.ring;
  one("about").hidden = !about;
  if (about) {
    one("caller").textContent = about.caller ?? speech.text("unknown");
    one("reason").textContent = speech.text(about.reason);
    one("topic").textContent = about.topic || "–";
    one("spoken").textContent = speech.text(about.language);
  }
  // Who works by keys goes on with what comes next, but hangs up by choice alone.
  if (before?.hidden || ringing || (up && document.activeElement === document.body)) {
    ["answer", "join", "off", "on"].map(one).find((button) => !button.hidden)?.focus();
  }
}

// Rings by ear; browsers allow it since the seat has pressed a button.
function sound() {
  const context = new AudioContext();
  const gain = context.createGain();
  const oscillator = context.createOscillator();
  oscillator.frequency.value = 450;
  oscillator.connect(gain).connect(context.destination);
  gain.gain.value = 0;
  // One second on, four off, as a telephone does in China.
  for (let at = 0; at < 300; at += 5) {
    gain.gain.setValueAtTime(0.15, context.currentTime + at);
    gain.gain.setValueAtTime(0, context.currentTime + at + 1);
  }
  oscillator.start();
  return () => context.close();
}

function notify() {
  if (!document.hidden || window.Notification?.permission !== "granted") return;
  try {
    new Notification(speech.text("ringing"), { body: ring.caller ?? "" });
  } catch {
    // Some browsers for telephones show none that a page makes itself.
  }
}

// Rings no more.
function quiet() {
  tone?.();
  tone = null;
  ring = null;
}

function told(message) {
  if (message.type === "open") {
    page = message.page;
    one("seat").textContent = message.seat;
    rest = "ready";
    if (!line) show("ready");
  } else if (message.type === "ring") {
    // The server knows that a call is over before the page does.
    line?.end("over");
    quiet();
    ring = message;
    tone = sound();
    show("ringing");
    notify();
  } else if (message.type === "quiet") {
    if (ring?.ring !== message.ring) return;
    quiet();
    show("gone");
  }
}

// Is told what happens as long as the seat wants calls.
async function listen(mine) {
  while (listening === mine) {
    const request = new AbortController();
    const abort = () => request.abort();
    mine.signal.addEventListener("abort", abort);
    try {
      const query = given.has("seat") ? `?seat=${encodeURIComponent(given.get("seat"))}` : "";
      const authorization = { Authorization: `Bearer ${given.get("pass") ?? given.get("token") ?? ""}` };
      const answer = await fetch(`media/seats${query}`, { headers: authorization, signal: request.signal, cache: "no-store" });
      if (listening !== mine) return;
      if (answer.status === 401 || answer.status === 429) return stop("noToken");
      if (answer.status === 404) return stop("noSeat");
      if (answer.ok && (await read(answer.body, mine, abort)) === "replaced") return stop("replaced");
    } catch {
      // Told below, unless the seat itself has stopped it.
    } finally {
      mine.signal.removeEventListener("abort", abort);
    }
    if (listening !== mine) return;
    rest = "again";
    quiet();
    if (!line) show("again");
    await new Promise((done) => setTimeout(done, AGAIN));
  }
}

// Server-sent events, read here because a browser's own reader cannot bring a pass.
async function read(body, mine, abort) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; ; ) {
    const watchdog = setTimeout(abort, SILENT);
    const { value, done } = await reader.read().finally(() => clearTimeout(watchdog));
    if (done || listening !== mine) return "over";
    const events = (text + value).split("\n\n");
    text = events.pop();
    for (const event of events) {
      for (const row of event.split("\n")) {
        if (!row.startsWith("data:")) continue;
        const message = JSON.parse(row.slice(5));
        if (message.type === "replaced") return "replaced";
        told(message);
      }
    }
  }
}

async function start() {
  if (listening) return;
  const mine = new AbortController();
  listening = mine;
  show("opening");
  window.Notification?.requestPermission?.();
  try {
    // Asked for now, so that nobody has to look for it when somebody calls.
    const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
    microphone.getTracks().forEach((track) => track.stop());
  } catch {
    if (listening === mine) stop("noMicrophone");
    return;
  }
  if (listening === mine) listen(mine);
}

// Wants no more calls; one that is on goes on.
function stop(why = "off") {
  listening?.abort();
  listening = null;
  rest = why;
  quiet();
  show(...(line ? state : [why]));
}

function muted(is) {
  one("mute").setAttribute("aria-pressed", String(is));
  one("mute").dataset.text = is ? "unmute" : "mute";
}

function answer() {
  const address = `media/seats/${page}/${ring.ring}`;
  const mine = new Line((name, detail) => {
    if (line !== mine) return;
    if (["microphone", "calling", "up", "weak"].includes(name)) return show(name, detail);
    line = null;
    // Nobody else shall wait for an answer that does not come.
    if (!mine.offered) fetch(address, { method: "DELETE", keepalive: true }).catch(() => {});
    muted(false);
    state = name === "over" ? [rest] : [name, detail];
    speech.speak();
  });
  mine.ring = ring;
  quiet();
  line = mine;
  if (mine.ring.key) {
    one("screen").src = `screen/${encodeURIComponent(mine.ring.call)}?key=${mine.ring.key}&lang=${speech.language}`;
    one("screen").hidden = false;
  }
  mine.begin(address, {}, one("voice"), one("level"));
}

function decline() {
  fetch(`media/seats/${page}/${ring.ring}`, { method: "DELETE" }).catch(() => {});
  quiet();
  show(rest);
}

keypad(one("keys"), (key) => line?.press(key));
one("on").onclick = start;
one("off").onclick = () => stop();
one("answer").onclick = answer;
one("decline").onclick = decline;
one("join").onclick = () => line?.press("1");
one("refuse").onclick = () => line?.press("2");
one("repeat").onclick = () => line?.press("3");
one("hangup").onclick = () => line?.end("over");
one("mute").onclick = () => {
  if (!line) return;
  muted(line.mute());
  speech.speak();
};
addEventListener("pagehide", () => line?.end("over"));
speech.speak();
