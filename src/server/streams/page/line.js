// One line to the server: microphone, offer and answer by HTTP, candidates as they come, audio by WebRTC.

// How loud the microphone is, so that one sees whether one is heard.
function measure(stream, meter) {
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  analyser.fftSize = 512;
  context.createMediaStreamSource(stream).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    const energy = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
    meter.value = Math.min(1, Math.max(0, 1 + Math.log10(energy + 1e-9) / 5));
  }, 100);
  return () => {
    clearInterval(timer);
    context.close();
  };
}

export class Line {
  // Whether the server was asked for a call, and where that is once it was answered.
  offered = false;
  address = null;
  #ends = [];
  #waiting = [];
  #changed;
  #over = false;
  #track;
  #dtmf;

  // `changed(state, detail)` is told "microphone", "calling", "up" and "weak" as they come, and last and once how it ended: "over", "lost",
  // "noMicrophone", "noToken", "busy", "gone" or "failed".
  constructor(changed) {
    this.#changed = changed;
  }

  // Offers a call to `url` with `headers`; what is heard is played by `voice`, how loud one is is shown by `meter`.
  async begin(url, headers, voice, meter) {
    try {
      await this.#connect(url, headers, voice, meter);
    } catch (error) {
      this.end("failed", error.message);
    }
  }

  async #connect(url, headers, voice, meter) {
    this.#changed("microphone");
    let microphone;
    try {
      microphone = await navigator.mediaDevices.getUserMedia({
        audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
      });
    } catch {
      return this.end("noMicrophone");
    }
    this.#ends.push(() => microphone.getTracks().forEach((track) => track.stop()));
    if (this.#over) return this.#finish();
    this.#changed("calling");
    const peer = new RTCPeerConnection();
    this.#ends.push(() => peer.close());
    [this.#track] = microphone.getAudioTracks();
    const sender = peer.addTrack(this.#track, microphone);
    peer.ontrack = (event) => (voice.srcObject = event.streams[0] ?? new MediaStream([event.track]));
    peer.onicecandidate = (event) => this.#trickle(event.candidate);
    peer.onconnectionstatechange = () => {
      const now = peer.connectionState;
      if (this.#over) return;
      if (now === "connected") this.#changed("up");
      else if (now === "disconnected") this.#changed("weak");
      else if (now === "failed") this.end("lost");
      else if (now === "closed") this.end("over");
    };
    // The other side says goodbye by ending the encryption: the transport knows it first.
    const closes = () => sender.transport?.state === "closed" && this.end("over");
    await peer.setLocalDescription(await peer.createOffer());
    sender.transport?.addEventListener("statechange", closes);
    if (this.#over) return this.#finish();
    this.offered = true;
    const described = { "Content-Type": "application/sdp", ...headers };
    const answer = await fetch(url, { method: "POST", headers: described, body: peer.localDescription.sdp });
    if (answer.status === 401 || answer.status === 429) return this.end("noToken");
    if (answer.status === 404) return this.end("gone");
    if (answer.status === 503) return this.end("busy");
    if (!answer.ok) return this.end("failed", (await answer.json().catch(() => ({}))).error ?? answer.statusText);
    this.address = answer.headers.get("Location").replace(/^\//, "");
    this.#ends.push(() => fetch(this.address, { method: "DELETE", keepalive: true }).catch(() => {}));
    if (this.#over) return this.#finish();
    await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
    if (this.#over) return this.#finish();
    this.#waiting.splice(0).forEach((candidate) => this.#trickle(candidate));
    this.#ends.push(measure(microphone, meter));
    this.#dtmf = sender.dtmf;
  }

  #trickle(candidate) {
    if (!candidate?.candidate) return;
    if (!this.address) return this.#waiting.push(candidate);
    fetch(this.address, {
      method: "PATCH",
      headers: { "Content-Type": "application/trickle-ice-sdpfrag" },
      body: `a=mid:${candidate.sdpMid}\r\na=${candidate.candidate}\r\n`,
    }).catch(() => {});
  }

  // By RTP, or by HTTP where the browser has no events that go with Opus.
  press(key) {
    if (!this.address || this.#over) return;
    if (this.#dtmf?.canInsertDTMF) this.#dtmf.insertDTMF(key, 160, 80);
    else fetch(`${this.address}/keys`, { method: "POST", headers: { "Content-Type": "text/plain" }, body: key }).catch(() => {});
  }

  // Is not heard, or is again; true if it is not.
  mute() {
    if (!this.#track) return false;
    this.#track.enabled = !this.#track.enabled;
    return !this.#track.enabled;
  }

  // What is to be done when it ends, however it does.
  atEnd(act) {
    if (this.#over) act();
    else this.#ends.push(act);
  }

  end(state, detail = "") {
    if (this.#over) return;
    this.#over = true;
    this.#finish();
    this.#changed(state, detail);
  }

  // Gives back what it had: microphone, connection, timers.
  #finish() {
    this.#ends.splice(0).forEach((end) => end());
  }
}

// Two languages: shows the texts of `texts` in elements with `data-text`, and switches by a button.
export class Speech {
  language;
  #texts;
  #button;
  #spoken;

  constructor(texts, wanted, button, spoken) {
    this.#texts = texts;
    this.#spoken = spoken;
    this.language = (wanted ?? navigator.language).startsWith("en") ? "en" : "zh";
    button.onclick = () => {
      this.language = this.language === "zh" ? "en" : "zh";
      this.speak();
    };
    this.#button = button;
  }

  text(name) {
    return this.#texts[this.language][name] ?? name;
  }

  speak() {
    document.documentElement.lang = this.language;
    for (const element of document.querySelectorAll("[data-text]")) element.textContent = this.text(element.dataset.text);
    for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", this.text(element.dataset.label));
    this.#button.textContent = this.text("other");
    this.#button.lang = this.language === "zh" ? "en" : "zh";
    this.#spoken();
  }
}

// The keys of a telephone in `grid`.
export function keypad(grid, press) {
  for (const key of "123456789*0#") {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = key;
    button.onclick = () => press(key);
    grid.append(button);
  }
}
