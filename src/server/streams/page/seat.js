// The page of a seat: is told when a caller wants it, answers, and shows what the caller has said.
import { Line, Speech, keypad } from "./line.js";

const TEXTS = {
  zh: {
    title: "坐席", other: "English", on: "开始接听", off: "停止接听", answer: "接听", decline: "拒绝", hangup: "挂断",
    join: "接入来电（1）", refuse: "不接（2）", repeat: "再听一遍（3）", mute: "静音", unmute: "取消静音", keypad: "键盘",
    caller: "来电", topic: "事项", spoken: "语言", unknown: "未知", zh: "中文", en: "英语",
    "off-state": "点击“开始接听”，并允许使用麦克风。", opening: "正在连接……", ready: "等待来电。请保持此页面打开。",
    ringing: "有来电！", microphone: "请允许使用麦克风……", calling: "正在接通……",
    up: "通话中：先听摘要，按 1 接入来电。", weak: "网络不稳定……", over: "通话已结束。", lost: "连接已中断。", gone: "来电已被接走或已挂断。",
    noMicrophone: "无法使用麦克风：请在浏览器中允许，并确认页面是 https 或 localhost。",
    noToken: "链接无效或已过期：请重新打开本页。", noSeat: "没有这个坐席：请检查配置。", busy: "服务器忙，请稍后再试。", failed: "没有接通：",
    replaced: "此坐席已在另一个页面打开。", again: "与服务器的连接已断开，正在重新连接……",
    reason: "原因", requested: "要求人工", key_zero: "按了 0", safety: "安全问题", upset: "客户不满", low_confidence: "机器不确定", broken: "系统故障",
  },
  en: {
    title: "Seat", other: "中文", on: "Take calls", off: "Take no calls", answer: "Answer", decline: "Decline", hangup: "Hang up",
    join: "Join the caller (1)", refuse: "Not me (2)", repeat: "Hear it again (3)", mute: "Mute", unmute: "Unmute", keypad: "Keypad",
    caller: "Caller", topic: "Matter", spoken: "Language", unknown: "unknown", zh: "Chinese", en: "English",
    "off-state": "Press “Take calls” and allow the microphone.", opening: "Connecting …", ready: "Waiting for calls. Keep this page open.",
    ringing: "A call!", microphone: "Please allow the microphone …", calling: "Connecting …",
    up: "In call: hear the summary, press 1 to join the caller.", weak: "The network is unsteady …", over: "The call is over.",
    lost: "The connection was lost.", gone: "Somebody else has taken the call, or the caller has hung up.",
    noMicrophone: "The microphone cannot be used: allow it in the browser, and open this page by https or localhost.",
    noToken: "The link is not valid, or not any more: open this page again.", noSeat: "There is no such seat: see the configuration.",
    busy: "The server is busy, try again later.", failed: "No connection: ",
    replaced: "This seat has been opened in another page.", again: "The connection to the server is lost, trying again …",
    reason: "Why", requested: "wants a person", key_zero: "pressed 0", safety: "somebody may be in danger", upset: "is upset",
    low_confidence: "the machine is not sure", broken: "something is broken",
  },
};
// The stream is opened again after so long.
const AGAIN = 2000;

const one = (id) => document.getElementById(id);
const main = document.querySelector("main");
const given = new URLSearchParams(location.hash.slice(1) || location.search.slice(1));
const speech = new Speech(TEXTS, given.get("lang"), one("language"), () => show(...state));
let state = ["off"];
// What follows when nothing else goes on, and how the last call ended.
let rest = "off";
let page = null;
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
  one("state").textContent = speech.text(name === "off" ? "off-state" : name) + detail;
  document.title = (ringing ? "☎ " : "") + speech.text("title");
  one("on").hidden = busy || ringing || Boolean(listening);
  one("off").hidden = busy || ringing || !listening;
  for (const id of ["answer", "decline"]) one(id).hidden = !ringing;
  for (const id of ["join", "refuse", "repeat", "mute", "level", "keypad"]) one(id).hidden = !up;
  one("hangup").hidden = !busy;
  one("about").hidden = !(ringing || busy);
  if (ring) {
    one("caller").textContent = ring.caller ?? speech.text("unknown");
    one("reason").textContent = speech.text(ring.reason);
    one("topic").textContent = ring.topic || "–";
    one("spoken").textContent = speech.text(ring.language);
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

function quiet() {
  tone?.();
  tone = null;
}

function told(message) {
  if (message.type === "open") {
    page = message.page;
    one("seat").textContent = message.seat;
    rest = "ready";
    if (!line) show("ready");
  } else if (message.type === "ring") {
    ring = message;
    quiet();
    tone = sound();
    show("ringing");
    if (document.hidden && window.Notification?.permission === "granted") new Notification(speech.text("ringing"), { body: ring.caller ?? "" });
  } else if (message.type === "quiet") {
    if (ring?.ring !== message.ring || line) return;
    ring = null;
    quiet();
    show("gone");
  } else if (message.type === "replaced") {
    stop("replaced");
  }
}

// Is told what happens as long as the seat wants calls.
async function listen(mine) {
  while (listening === mine) {
    let answer = null;
    try {
      const query = given.has("seat") ? `?seat=${encodeURIComponent(given.get("seat"))}` : "";
      const authorization = { Authorization: `Bearer ${given.get("pass") ?? given.get("token") ?? ""}` };
      answer = await fetch(`media/seats${query}`, { headers: authorization, signal: mine.signal, cache: "no-store" });
      if (answer.status === 401 || answer.status === 429) return stop("noToken");
      if (answer.status === 404) return stop("noSeat");
      if (answer.ok) await read(answer.body);
    } catch {
      // Told below, unless the seat itself has stopped it.
    }
    if (listening !== mine) return;
    rest = "again";
    if (!line) {
      ring = null;
      quiet();
      show("again");
    }
    await new Promise((done) => setTimeout(done, AGAIN));
  }
}

// Server-sent events, read here because a browser's own reader cannot bring a pass.
async function read(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; ; ) {
    const { value, done } = await reader.read();
    if (done) return;
    const events = (text + value).split("\n\n");
    text = events.pop();
    for (const event of events) {
      for (const row of event.split("\n")) if (row.startsWith("data:")) told(JSON.parse(row.slice(5)));
    }
  }
}

async function start() {
  window.Notification?.requestPermission?.();
  try {
    // Asked for now, so that nobody has to look for it when somebody calls.
    const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
    microphone.getTracks().forEach((track) => track.stop());
  } catch {
    return show("noMicrophone");
  }
  listening = new AbortController();
  show("opening");
  listen(listening);
}

// Wants no more calls; one that is on goes on.
function stop(why = "off") {
  listening?.abort();
  listening = null;
  rest = why;
  if (line) return;
  ring = null;
  quiet();
  show(why);
}

function muted(is) {
  one("mute").setAttribute("aria-pressed", String(is));
  one("mute").dataset.text = is ? "unmute" : "mute";
}

function answer() {
  quiet();
  const mine = new Line((name, detail) => {
    if (["microphone", "calling", "up", "weak"].includes(name)) return show(name, detail);
    line = null;
    ring = null;
    muted(false);
    // Until the next call one can still read what this one was about.
    state = name === "over" ? [rest] : [name, detail];
    speech.speak();
  });
  line = mine;
  if (ring.key) {
    one("screen").src = `screen/${encodeURIComponent(ring.call)}?key=${ring.key}`;
    one("screen").hidden = false;
  }
  mine.begin(`media/seats/${page}/${ring.ring}`, {}, one("voice"), one("level"));
}

function decline() {
  quiet();
  fetch(`media/seats/${page}/${ring.ring}`, { method: "DELETE" }).catch(() => {});
  ring = null;
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
