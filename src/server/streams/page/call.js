// A call from a web page: offer and answer by HTTP, candidates as they come, audio by WebRTC, and what is heard and said as text.
"use strict";

const TEXTS = {
  zh: {
    title: "网页电话", call: "呼叫", hangup: "挂断", mute: "静音", unmute: "取消静音", keypad: "键盘", other: "English",
    idle: "点击“呼叫”，允许使用麦克风后即可通话。", microphone: "请允许使用麦克风……", calling: "正在接通……", up: "通话中",
    over: "通话已结束。", weak: "网络不稳定……",
    noMicrophone: "无法使用麦克风：请在浏览器中允许，并确认页面是 https 或 localhost。",
    noToken: "链接无效或已过期：请从网站重新打开本页。", busy: "现在线路忙，请稍后再拨。", failed: "没有接通：",
    lost: "连接已中断。", requested: "正在为您转接人工客服……", ringing: "正在呼叫人工客服……", joined: "人工客服已接入。",
    ended: "转接结束。",
  },
  en: {
    title: "Web telephone", call: "Call", hangup: "Hang up", mute: "Mute", unmute: "Unmute", keypad: "Keypad", other: "中文",
    idle: "Press “Call” and allow the microphone.", microphone: "Please allow the microphone …", calling: "Connecting …", up: "In call",
    over: "The call is over.", weak: "The network is unsteady …",
    noMicrophone: "The microphone cannot be used: allow it in the browser, and open this page by https or localhost.",
    noToken: "The link is not valid, or not any more: open this page from the website again.",
    busy: "All lines are busy, please call again later.", failed: "No connection: ",
    lost: "The connection was lost.", requested: "You are being transferred to a person …", ringing: "A person is being called …",
    joined: "A person has joined.", ended: "The transfer is over.",
  },
};
const KEYS = "123456789*0#";

const one = (id) => document.getElementById(id);
const main = document.querySelector("main");
// The pass is in the fragment, which no server is told, or in the query.
const given = new URLSearchParams(location.hash.slice(1) || location.search.slice(1));
let language = (given.get("lang") ?? navigator.language).startsWith("en") ? "en" : "zh";
let state = ["idle"];
let call = null;

function show(name, detail = "") {
  state = [name, detail];
  main.dataset.state = name;
  one("state").textContent = TEXTS[language][name] + detail;
  const up = ["up", "weak"].includes(name);
  const busy = up || ["microphone", "calling"].includes(name);
  one("call").hidden = busy;
  one("hangup").hidden = !busy;
  for (const id of ["mute", "level", "keypad"]) one(id).hidden = !up;
}

function speak() {
  document.documentElement.lang = language;
  document.title = TEXTS[language].title;
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = TEXTS[language][element.dataset.text];
  one("language").textContent = TEXTS[language].other;
  one("language").lang = language === "zh" ? "en" : "zh";
  for (const line of document.querySelectorAll("li[data-news]")) line.textContent = TEXTS[language][line.dataset.news];
  show(...state);
}

function line(who, text) {
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
    call.partial ??= line("caller partial", "");
    call.partial.textContent = message.text;
    if (message.final) {
      call.partial.classList.remove("partial");
      call.partial = null;
    }
  } else if (message.type === "said") {
    line("bot", message.text);
  } else if (message.type === "transfer") {
    line("news", TEXTS[language][message.state]).dataset.news = message.state;
  }
}

function follow(address) {
  const events = new EventSource(`${address}/events`);
  events.onmessage = (event) => told(JSON.parse(event.data));
  // The stream ends with the call; a browser would open it again for ever.
  events.onerror = () => events.close();
  return events;
}

// How loud the microphone is, so that one sees whether one is heard.
function meter(stream) {
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  analyser.fftSize = 512;
  context.createMediaStreamSource(stream).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    const energy = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
    one("level").value = Math.min(1, Math.max(0, 1 + Math.log10(energy + 1e-9) / 5));
  }, 100);
  return () => {
    clearInterval(timer);
    context.close();
  };
}

async function begin() {
  one("transcript").replaceChildren();
  const mine = { ends: [], waiting: [], address: null, partial: null };
  call = mine;
  show("microphone");
  let microphone;
  try {
    microphone = await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
    });
  } catch {
    return end("noMicrophone", "", mine);
  }
  mine.ends.push(() => microphone.getTracks().forEach((track) => track.stop()));
  if (call !== mine) return finish(mine);
  show("calling");
  const peer = new RTCPeerConnection();
  mine.ends.push(() => peer.close());
  const [track] = microphone.getAudioTracks();
  const sender = peer.addTrack(track, microphone);
  peer.ontrack = (event) => (one("voice").srcObject = event.streams[0] ?? new MediaStream([event.track]));
  peer.onicecandidate = (event) => trickle(mine, event.candidate);
  peer.onconnectionstatechange = () => {
    const now = peer.connectionState;
    if (call !== mine) return;
    if (now === "connected") show("up");
    else if (now === "disconnected") show("weak");
    else if (now === "failed") end("lost", "", mine);
    else if (now === "closed") end("over", "", mine);
  };
  // The other side says goodbye by ending the encryption: the transport knows it first.
  const closes = () => sender.transport?.state === "closed" && end("over", "", mine);
  await peer.setLocalDescription(await peer.createOffer());
  sender.transport?.addEventListener("statechange", closes);
  const query = new URLSearchParams([...given].filter(([name]) => !["token", "pass", "lang"].includes(name)));
  let answer;
  try {
    answer = await fetch(`media/webrtc?${query}`, {
      method: "POST",
      headers: { "Content-Type": "application/sdp", Authorization: `Bearer ${given.get("pass") ?? given.get("token") ?? ""}` },
      body: peer.localDescription.sdp,
    });
  } catch (error) {
    return end("failed", error.message, mine);
  }
  if (answer.status === 401 || answer.status === 429) return end("noToken", "", mine);
  if (answer.status === 503) return end("busy", "", mine);
  if (!answer.ok) return end("failed", (await answer.json().catch(() => ({}))).error ?? answer.statusText, mine);
  mine.address = answer.headers.get("Location").replace(/^\//, "");
  const events = follow(mine.address);
  mine.ends.push(() => events.close());
  // The call is over on the other side.
  events.onerror = () => {
    events.close();
    if (main.dataset.state !== "calling") end("over", "", mine);
  };
  mine.ends.push(() => fetch(mine.address, { method: "DELETE", keepalive: true }).catch(() => {}));
  if (call !== mine) return finish(mine);
  try {
    await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
  } catch (error) {
    return end("failed", error.message, mine);
  }
  if (call !== mine) return finish(mine);
  mine.waiting.splice(0).forEach((candidate) => trickle(mine, candidate));
  mine.ends.push(meter(microphone));
  mine.track = track;
  mine.dtmf = sender.dtmf;
}

function trickle(mine, candidate) {
  if (!candidate?.candidate) return;
  if (!mine.address) return mine.waiting.push(candidate);
  fetch(mine.address, {
    method: "PATCH",
    headers: { "Content-Type": "application/trickle-ice-sdpfrag" },
    body: `a=mid:${candidate.sdpMid}\r\na=${candidate.candidate}\r\n`,
  }).catch(() => {});
}

// Gives back what a call had: microphone, connection, timers.
function finish(mine) {
  mine.ends.splice(0).forEach((end) => end());
}

// Ends `mine`; another call that has begun since goes on.
function end(name, detail = "", mine = call) {
  if (!mine) return;
  finish(mine);
  mine.partial?.remove();
  if (call !== mine) return;
  call = null;
  one("mute").setAttribute("aria-pressed", "false");
  one("mute").dataset.text = "mute";
  state = [name, detail];
  speak();
}

// By RTP, or by HTTP where the browser has no events that go with Opus.
function press(key) {
  if (!call?.address) return;
  if (call.dtmf?.canInsertDTMF) call.dtmf.insertDTMF(key, 160, 80);
  else fetch(`${call.address}/keys`, { method: "POST", headers: { "Content-Type": "text/plain" }, body: key }).catch(() => {});
}

for (const key of KEYS) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = key;
  button.onclick = () => press(key);
  one("keys").append(button);
}
one("call").onclick = begin;
one("hangup").onclick = () => end("over");
one("mute").onclick = () => {
  if (!call?.track) return;
  call.track.enabled = !call.track.enabled;
  one("mute").setAttribute("aria-pressed", String(!call.track.enabled));
  one("mute").dataset.text = call.track.enabled ? "mute" : "unmute";
  speak();
};
one("language").onclick = () => {
  language = language === "zh" ? "en" : "zh";
  speak();
};
addEventListener("pagehide", () => call && end("over"));
speak();
