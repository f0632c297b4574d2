// A call from a web page, and what is heard and said in it as text.
import { Line, Speech, keypad } from "./line.js";

const TEXTS = {
  zh: {
    title: "网页电话", call: "呼叫", hangup: "挂断", mute: "静音", unmute: "取消静音", keypad: "键盘", other: "English", level: "麦克风音量",
    idle: "点击“呼叫”，允许使用麦克风后即可通话。", microphone: "请允许使用麦克风……", calling: "正在接通……", up: "通话中",
    over: "通话已结束。", weak: "网络不稳定……", gone: "通话已结束。",
    noMicrophone: "无法使用麦克风：请在浏览器中允许，并确认页面是 https 或 localhost。",
    noToken: "链接无效或已过期：请从网站重新打开本页。", busy: "现在线路忙，请稍后再拨。", failed: "没有接通：",
    lost: "连接已中断。", requested: "正在为您转接人工客服……", ringing: "正在呼叫人工客服……", joined: "人工客服已接入。",
    ended: "转接结束。",
  },
  en: {
    title: "Web telephone", call: "Call", hangup: "Hang up", mute: "Mute", unmute: "Unmute", keypad: "Keypad", other: "中文", level: "Microphone level",
    idle: "Press “Call” and allow the microphone.", microphone: "Please allow the microphone …", calling: "Connecting …", up: "In call",
    over: "The call is over.", weak: "The network is unsteady …", gone: "The call is over.",
    noMicrophone: "The microphone cannot be used: allow it in the browser, and open this page by https or localhost.",
    noToken: "The link is not valid, or not any more: open this page from the website again.",
    busy: "All lines are busy, please call again later.", failed: "No connection: ",
    lost: "The connection was lost.", requested: "You are being transferred to a person …", ringing: "A person is being called …",
    joined: "A person has joined.", ended: "The transfer is over.",
  },
};

const one = (id) => document.getElementById(id);
const main = document.querySelector("main");
// The pass is in the fragment, which no server is told, or in the query.
const given = new URLSearchParams(location.hash.slice(1) || location.search.slice(1));
const speech = new Speech(TEXTS, given.get("lang"), one("language"), () => {
  document.title = speech.text("title");
  for (const news of document.querySelectorAll("li[data-news]")) news.textContent = speech.text(news.dataset.news);
  show(...state);
});
let state = ["idle"];
let line = null;
let partial = null;

function show(name, detail = "") {
  state = [name, detail];
  main.dataset.state = name;
  one("state").textContent = speech.text(name) + detail;
  const up = ["up", "weak"].includes(name);
  const busy = up || ["microphone", "calling"].includes(name);
  one("call").hidden = busy;
  one("hangup").hidden = !busy;
  for (const id of ["mute", "level", "keypad"]) one(id).hidden = !up;
}

function write(who, text) {
  const item = document.createElement("li");
  item.className = who;
  item.textContent = text;
  one("transcript").append(item);
  one("transcript").scrollTop = one("transcript").scrollHeight;
  return item;
}

// What happens in the call, in the words of the server's own media protocol.
function told(message) {
  if (message.type === "transcript") {
    if (!message.text) return;
    partial ??= write("caller partial", "");
    partial.textContent = message.text;
    if (message.final) {
      partial.classList.remove("partial");
      partial = null;
    }
  } else if (message.type === "said") {
    write("bot", message.text);
  } else if (message.type === "transfer") {
    write("news", speech.text(message.state)).dataset.news = message.state;
  }
}

function muted(is) {
  one("mute").setAttribute("aria-pressed", String(is));
  one("mute").dataset.text = is ? "unmute" : "mute";
}

async function begin() {
  one("transcript").replaceChildren();
  const mine = new Line((name, detail) => {
    if (line !== mine) return;
    if (["microphone", "calling", "up", "weak"].includes(name)) return show(name, detail);
    line = null;
    partial?.remove();
    partial = null;
    muted(false);
    state = [name, detail];
    speech.speak();
  });
  line = mine;
  const query = new URLSearchParams([...given].filter(([name]) => !["token", "pass", "lang"].includes(name)));
  const authorization = { Authorization: `Bearer ${given.get("pass") ?? given.get("token") ?? ""}` };
  await mine.begin(`media/webrtc?${query}`, authorization, one("voice"), one("level"));
  if (!mine.address || line !== mine) return;
  const events = new EventSource(`${mine.address}/events`);
  mine.atEnd(() => events.close());
  events.onmessage = (event) => told(JSON.parse(event.data));
  // The stream ends with the call; a browser would open it again for ever.
  events.onerror = () => {
    events.close();
    if (main.dataset.state !== "calling") mine.end("over");
  };
}

keypad(one("keys"), (key) => line?.press(key));
one("call").onclick = begin;
one("hangup").onclick = () => line?.end("over");
one("mute").onclick = () => {
  if (!line) return;
  muted(line.mute());
  speech.speak();
};
addEventListener("pagehide", () => line?.end("over"));
speech.speak();
