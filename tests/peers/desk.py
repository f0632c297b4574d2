"""`nightline talk` at sound devices that are files, paced by a sound server without a sound card. Each check is a function whose name is a
sentence."""

import os
import signal
import subprocess

import audio
import net
from checks import checks_of

RATE = 16_000
PULSE = """load-module module-native-protocol-unix socket={folder}/socket auth-anonymous=1
load-module module-null-sink sink_name=room rate=16000 channels=1
"""
# What is played goes into a file, what is heard comes from one; the sound server says when.
ALSA = """pcm.room {{ type pulse server "unix:{folder}/socket" device "room" }}
pcm.quiet {{ type pulse server "unix:{folder}/socket" device "room.monitor" }}
pcm.speaker {{ type file slave.pcm "room" file "{folder}/speaker.raw" format "raw" }}
pcm.microphone {{ type file slave.pcm "quiet" file "/dev/null" infile "{folder}/microphone.raw" format "raw" }}
pcm.!default {{ type asym playback.pcm "speaker" capture.pcm "microphone" hint {{ show on description "files" }} }}
"""


class Desk:
    """A desk whose microphone hears `samples` (8 kHz) once, and nothing after that."""

    def __init__(self, binary, folder, samples):
        folder.mkdir(parents=True)
        self.folder = folder.resolve()
        (self.folder / "microphone.raw").write_bytes(audio.twice_the_rate(samples))
        (self.folder / "pulse.pa").write_text(PULSE.format(folder=self.folder))
        (self.folder / "asound.conf").write_text(ALSA.format(folder=self.folder))
        here = {name: str(self.folder) for name in ("HOME", "PULSE_RUNTIME_PATH", "PULSE_STATE_PATH", "XDG_RUNTIME_DIR")}
        self.env = os.environ | here | {"ALSA_CONFIG_PATH": str(self.folder / "asound.conf"), "LC_ALL": "C.UTF-8"}
        self.binary, self.logs = binary, [open(self.folder / name, "wb") for name in ("pulse.log", "talk.log")]
        command = ["pulseaudio", "-n", "-F", self.folder / "pulse.pa", "--exit-idle-time=-1", "--daemonize=no", "--use-pid-file=no"]
        self.sound = subprocess.Popen([*command, "--disable-shm=yes"], env=self.env, stdout=self.logs[0], stderr=subprocess.STDOUT)

    def ready(self):
        net.wait_for("the sound server", (self.folder / "socket").exists, 15)
        return self

    def devices(self):
        listed = subprocess.run([self.binary, "talk", "--list"], env=self.env, capture_output=True, text=True, timeout=20)
        assert listed.returncode == 0, f"is the binary built with `--features desk`? {listed.stderr}"
        return [line.split("\t") for line in listed.stdout.splitlines()]

    def talk(self, *options):
        self.process = subprocess.Popen(
            [self.binary, "talk", *options], env=self.env, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=self.logs[1], stderr=subprocess.STDOUT
        )

    def told(self):
        return (self.folder / "talk.log").read_text("utf-8", errors="replace")

    def loud_seconds(self):
        """How long what was played is not silent."""
        played = (self.folder / "speaker.raw").read_bytes()
        played = memoryview(played[: len(played) // 2 * 2]).cast("h")
        frames = [played[at : at + RATE // 50] for at in range(0, len(played) - RATE // 50, RATE // 50)]
        return sum(0.02 for frame in frames if max(map(abs, frame)) > 500)

    def stop(self):
        for process in (getattr(self, "process", None), self.sound):
            if process:
                net.end(process)
        for log in self.logs:
            log.close()


def who_talks_at_a_desk_is_understood_and_answered(stage):
    pause = bytes(2 * 14 * audio.RATE)
    desk = stage.keep(Desk(stage.binary, stage.folder / "desk", pause + audio.utterance("demo", 2) + pause * 4)).ready()
    microphones = [name for what, name in desk.devices() if what == "microphone"]
    assert any("default" in name for name in microphones), desk.devices()
    desk.talk()
    net.wait_for("the question to be understood", lambda: "首保" in desk.told(), 40)
    asked = desk.told().index("首保")
    net.wait_for("the answer to be told", lambda: "首保" in desk.told()[asked + 10 :], 15)
    net.wait_for("the answer to be played", lambda: desk.loud_seconds() > 6, 20)
    desk.process.send_signal(signal.SIGINT)
    assert desk.process.wait(10) == 0, desk.told()


def a_desk_without_its_device_is_a_clear_error(stage):
    desk = stage.keep(Desk(stage.binary, stage.folder / "desk", b"")).ready()
    desk.talk("--microphone", "nowhere")
    assert desk.process.wait(30) != 0
    assert 'no microphone "nowhere"' in desk.told() and "--list" in desk.told(), desk.told()


ALL = checks_of(globals())
