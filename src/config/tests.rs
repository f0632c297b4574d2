use super::*;
use crate::seat::Way;
use secrecy::ExposeSecret as _;

/// Loads `text` as `nightline.toml` in a folder of its own, with `vars`; the folder's name is cut from messages.
fn load(text: &str, vars: &[(&str, &str)]) -> Result<Loaded, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nightline.toml");
    std::fs::write(&path, text).unwrap();
    let vars = vars.iter().map(|(k, v)| ((*k).to_string(), (*v).to_string()));
    Loaded::read(Some(&path), vars)
        .map_err(|e| e.to_string().replace(&format!("{}/", folder.path().display()), ""))
}

#[track_caller]
fn wrong(text: &str, message: &str) {
    match load(text, &[]) {
        Ok(_) => panic!("this must be refused:\n{text}"),
        Err(found) => assert_eq!(found, message, "for the file\n{text}"),
    }
}

#[test]
fn the_defaults_are_valid_and_as_documented() {
    let config = Config::default();
    let listen: Vec<_> = config.sip.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["udp:0.0.0.0:5060", "tcp:0.0.0.0:5060"]);
    assert_eq!(config.rtp.ports, 20_000..=29_999);
    assert_eq!(config.asr.model, Model::Embedded);
    assert_eq!(config.store, Path::new("var/nightline.db"));
    assert!(config.llm.is_none(), "no model server unless configured");
    assert!(config.http.listen.is_none());
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let file = "[sip]\nmax_calls = 7\nuser_agent = \"File\"\n[seats]\ntargets = [\"sip:a@b\"]\n";
    let loaded = load(
        file,
        &[
            ("NIGHTLINE_SIP__MAX_CALLS", "9"),
            ("NIGHTLINE_SEATS__TARGETS", "sip:1001@10.0.0.1, sip:1002@10.0.0.1:5070"),
            ("NIGHTLINE_RECORD__WAV", "false"),
            ("NIGHTLINE_RTP__PORTS", "[30000, 30999]"),
            ("NIGHTLINE_CONFIG", "this is for the command line and no key"),
            ("OTHER_SIP__LISEN", "not ours"),
        ],
    )
    .unwrap();
    let config = loaded.config;
    assert_eq!(config.sip.max_calls, 9);
    assert_eq!(config.sip.user_agent, "File");
    assert_eq!(config.sip.listen.len(), 2);
    assert_eq!(config.seats.profiles[1].uri, "sip:1002@10.0.0.1:5070");
    assert!(!config.record.wav);
    assert_eq!(config.rtp.ports, 30_000..=30_999);
}

#[test]
fn a_secret_of_digits_in_the_environment_stays_a_text() {
    let vars = [
        ("NIGHTLINE_LLM__URL", "http://127.0.0.1:1/v1/"),
        ("NIGHTLINE_LLM__MODEL", "qwen"),
        ("NIGHTLINE_LLM__API_KEY", "0012345"),
    ];
    let llm = load("", &vars).unwrap().config.llm.unwrap();
    assert_eq!(llm.api_key.unwrap().expose_secret(), "0012345");
    assert_eq!(llm.url, "http://127.0.0.1:1/v1", "the final slash is cut");
}

#[test]
fn a_key_can_come_from_a_file_and_is_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "sk-geheim\n").unwrap();
    let text = format!("[llm]\nurl = \"https://h/v1\"\nmodel = \"m\"\napi_key_file = {key:?}\n");
    let loaded = load(&text, &[]).unwrap();
    let llm = loaded.config.llm.as_ref().unwrap();
    assert_eq!(llm.api_key.as_ref().unwrap().expose_secret(), "sk-geheim");
    assert!(!format!("{loaded:?}").contains("geheim"), "Debug shows the key");
}

#[test]
fn an_unknown_key_names_the_nearest_one() {
    wrong(
        "# our hotline\n[sip]\nlisen = [\"udp:0.0.0.0:5060\"]\n",
        "unknown key `sip.lisen` in nightline.toml line 3: did you mean `sip.listen`?",
    );
    wrong("[spi]\nlisten = []\n", "unknown key `spi` in nightline.toml line 1: did you mean `sip`?");
    wrong(
        "[sip]\nsession_expires = 90\n",
        "unknown key `sip.session_expires` in nightline.toml line 2: did you mean `sip.session_expires_s`?",
    );
    wrong(
        "max_calls = 3\n",
        "unknown key `max_calls` in nightline.toml line 1: did you mean `sip.max_calls`?",
    );
    wrong(
        "[store]\nqqqqqqqqqqq = 1\n",
        "unknown key `store.qqqqqqqqqqq` in nightline.toml line 2: known here: `store.path`",
    );
    wrong(
        "qqqqqqqqqqq = 1\n",
        "unknown key `qqqqqqqqqqq` in nightline.toml line 1: known here: `asr`, `http`, `llm`, `log`, `media`, \
         `outbound`, `record`, `registration`, `rtp`, `seats`, `sip`, `store`, `tenant`, `tools`, `tts`, `turns`, `webhook`",
    );
}

#[test]
fn a_misspelt_key_is_found_in_every_table() {
    fn leaves(path: &str, value: &serde_json::Value, out: &mut Vec<String>) {
        match value.as_object() {
            // A list of tables: a test of its own below.
            None if value.get(0).is_some_and(serde_json::Value::is_object) => {}
            None => out.push(path.into()),
            Some(map) => {
                for (k, v) in map {
                    leaves(&format!("{path}.{k}"), v, out);
                }
            }
        }
    }
    let mut keys = Vec::new();
    leaves("", &serde_json::to_value(Raw::example()).unwrap(), &mut keys);
    assert!(keys.len() > 30, "{keys:?}");
    for key in keys {
        let (table, name) = key[1..].split_once('.').unwrap();
        let found = load(&format!("[{table}]\n{name}x = 1\n"), &[]).unwrap_err();
        let want =
            format!("unknown key `{table}.{name}x` in nightline.toml line 2: did you mean `{table}.{name}`?");
        assert_eq!(found, want);
    }
}

#[test]
fn an_unknown_variable_names_the_nearest_one() {
    let found = load("", &[("NIGHTLINE_SIP__LISEN", "udp:0.0.0.0:1")]).unwrap_err();
    assert_eq!(
        found,
        "unknown key `sip.lisen` in the environment variable NIGHTLINE_SIP__LISEN: did you mean \
         `NIGHTLINE_SIP__LISTEN`?"
    );
}

#[test]
fn a_wrong_type_says_what_was_expected_and_found() {
    wrong(
        "[sip]\nmax_calls = \"many\"\n",
        "`sip.max_calls` in nightline.toml line 2: expected a whole number, found the text \"many\"",
    );
    wrong(
        "[rtp]\ntimeout_s = 1.5\n",
        "`rtp.timeout_s` in nightline.toml line 2: expected a whole number, found the fraction 1.5",
    );
    wrong(
        "[sip]\nlisten = \"udp:0.0.0.0:5060\"\n",
        "`sip.listen` in nightline.toml line 2: expected a list of texts, found the text \"udp:0.0.0.0:5060\"",
    );
    wrong("sip = 5\n", "`sip` in nightline.toml line 1: expected a table, found the number 5");
    wrong(
        "[record]\nwav = 1\n",
        "`record.wav` in nightline.toml line 2: expected true or false, found the number 1",
    );
    wrong(
        "[llm]\napi_key = 123456\n",
        "`llm.api_key` in nightline.toml line 2: expected a text in quotes, found something else",
    );
    let found = load("", &[("NIGHTLINE_SIP__MAX_CALLS", "many")]).unwrap_err();
    assert_eq!(
        found,
        "`sip.max_calls` in the environment variable NIGHTLINE_SIP__MAX_CALLS: expected a whole number, found \
         the text \"many\""
    );
}

#[test]
fn codecs_are_taken_in_the_order_written_and_each_once() {
    let config = load("[sip]\ncodecs = [\"opus\", \"PCMA\"]\n", &[]).unwrap().config;
    assert_eq!(config.sip.codecs[..], [Codec::Opus, Codec::Pcma]);
    wrong(
        "[sip]\ncodecs = [\"PCMA\", \"pcma\"]\n",
        "`sip.codecs.1` in nightline.toml line 2: \"pcma\" stands there twice",
    );
    wrong(
        "[sip]\ncodecs = [\"G729\"]\n",
        "`sip.codecs.0` in nightline.toml line 2: there is no codec \"G729\": known are PCMA, PCMU, G722 and opus",
    );
    wrong(
        "[sip]\ncodecs = []\n",
        "`sip.codecs` in nightline.toml line 2: at least one codec is needed: write for example [\"PCMA\"]",
    );
}

#[test]
fn a_seat_in_a_browser_needs_the_listener_of_its_page_and_no_telephone() {
    let media = "[media]\nlisten = \"127.0.0.1:0\"\ntoken = \"0123456789abcdef\"\n";
    let seat = "[[seats.seat]]\nid = \"2002\"\nbrowser = true\n";
    let config = load(&format!("{media}{seat}"), &[]).unwrap().config;
    assert_eq!((config.seats.profiles[0].way, config.seats.profiles[0].uri.as_str()), (Way::Browser, ""));
    wrong(
        seat,
        "`seats.seat.0.browser` in nightline.toml line 3: its page is on `media.listen`, which is missing: write an \
         address there, and `token_file`",
    );
    wrong(
        &format!("{media}{seat}uri = \"sip:2002@host\"\n"),
        "`seats.seat.0.browser` in nightline.toml line 6: a seat that answers in a browser has no telephone: leave \
         `uri` and `password` out, or this",
    );
    wrong(
        "[[seats.seat]]\nid = \"2002\"\n",
        "`seats.seat.0.uri` in nightline.toml line 1: it is missing: write where the seat is called, a `password` by which \
         it registers here, or `browser = true`",
    );
}

#[test]
fn a_value_out_of_range_says_the_range() {
    wrong(
        "[sip]\nmax_calls = 0\n",
        "`sip.max_calls` in nightline.toml line 2: 0 is out of range, expected 1 to 10000",
    );
    wrong(
        "[sip]\nmax_calls = -1\n",
        "`sip.max_calls` in nightline.toml line 2: -1 is out of range, expected 0 to 4294967295",
    );
    wrong(
        "[rtp]\nports = [20000,\n  70000]\n",
        "`rtp.ports.1` in nightline.toml line 3: 70000 is out of range, expected 0 to 65535",
    );
    wrong(
        "[rtp]\nports = [30000, 20000]\n",
        "`rtp.ports` in nightline.toml line 2: [30000, 20000] is not a range of ports: write the first and the last, \
         both 1024 to 65535, for example [20000, 29999]",
    );
    wrong(
        "[rtp]\nports = [20000, 20009]\n[sip]\nmax_calls = 5\n",
        "`rtp.ports` in nightline.toml line 2: 10 ports are too few for `sip.max_calls` = 5, which needs 20 (4 a \
         call): widen the range or allow fewer calls",
    );
    wrong(
        "[turns]\nmin_silence_ms = 900\nmax_silence_ms = 800\n",
        "`turns.min_silence_ms` in nightline.toml line 2: it is longer than `turns.max_silence_ms` (800 ms)",
    );
}

#[test]
fn a_value_that_cannot_be_parsed_says_how_it_should_look() {
    wrong(
        "[sip]\nlisten = [\n  \"udp:0.0.0.0:5060\",\n  \"upd:0.0.0.0:5061\",\n]\n",
        "`sip.listen.1` in nightline.toml line 4: \"upd:0.0.0.0:5061\": the transport `upd` is not udp, tcp or tls; \
         write for example \"udp:0.0.0.0:5060\"",
    );
    wrong(
        "[sip]\nlisten = []\n",
        "`sip.listen` in nightline.toml line 2: it is empty: name at least one, for example \"udp:0.0.0.0:5060\"",
    );
    wrong(
        "[seats]\ntargets = [\"1001@host\"]\n",
        "`seats.targets.0` in nightline.toml line 2: \"1001@host\" is not a SIP URI (it does not begin with \
         `sip:`): write `sip:name@host:port`",
    );
    wrong(
        "[llm]\nmodel = \"qwen\"\n",
        "`llm.model` in nightline.toml line 2: it is set, but `llm.url` is not: set that too, or remove this",
    );
    wrong(
        "[tools]\nurl = \"http://h\"\nmcp = \"http://h/mcp\"\n",
        "`tools.mcp` in nightline.toml line 3: it is set, and `tools.url` too: tools are in one place, remove one of them",
    );
    wrong(
        "[tenant]\nname = \"../etc\"\n",
        "`tenant.name` in nightline.toml line 2: \"../etc\" is not a name: use letters, digits, - and _",
    );
}

#[test]
fn all_mistakes_are_reported_at_once() {
    wrong(
        "[sip]\nlisen = []\nmax_calls = 0\nexternal_ip = \"here\"\n",
        "unknown key `sip.lisen` in nightline.toml line 2: did you mean `sip.listen`?\n\
         `sip.max_calls` in nightline.toml line 3: 0 is out of range, expected 1 to 10000\n\
         `sip.external_ip` in nightline.toml line 4: \"here\" is not an IP address: write for example \"203.0.113.7\"",
    );
}

#[test]
fn a_file_that_is_not_toml_names_the_line() {
    let found = load("[sip]\nmax_calls = \n", &[]).unwrap_err();
    assert!(found.starts_with("not TOML in nightline.toml line 2: "), "{found}");
}

#[test]
fn a_named_file_must_exist() {
    let found = Loaded::read(Some(Path::new("/no/such.toml")), []).unwrap_err().to_string();
    assert!(found.starts_with("cannot read the configuration /no/such.toml: "), "{found}");
}

#[test]
fn a_key_copied_from_a_dump_is_refused() {
    wrong(
        "[llm]\nurl = \"http://h/v1\"\nmodel = \"m\"\napi_key = \"(hidden)\"\n",
        "`llm.api_key` in nightline.toml line 4: this was copied from a dump, which hides the key: write the real one",
    );
}

#[test]
fn sip_uris_are_checked_as_far_as_dialling_needs() {
    for good in ["sip:a@b", "sip:b", "sip:1001@10.0.0.1:5070;transport=tcp", "sip:a@[::1]:5060", "sip:b?X=y"]
    {
        assert!(good.parse::<SipUri>().is_ok(), "{good}");
    }
    for bad in [
        "",
        "sip:",
        "sip:@b",
        "sip:a@",
        "sip:a@b:0",
        "sip:a@b:x",
        "sip:a b@c",
        "sip:a@[::1",
        "sips:a@b",
        "tel:1",
    ] {
        assert!(bad.parse::<SipUri>().is_err(), "{bad}");
    }
}

#[test]
fn a_recognition_server_is_configured_with_few_keys() {
    assert!(Config::default().asr.remote.is_none());
    let file =
        "[asr]\nengine = \"openai\"\n[asr.remote]\nurl = \"http://h:8000/v1/\"\nmodel = \"whisper-1\"\n";
    let vars = [("NIGHTLINE_ASR__REMOTE__API_KEY", "0123"), ("NIGHTLINE_ASR__REMOTE__TOTAL_MS", "2000")];
    let remote = load(file, &vars).unwrap().config.asr.remote.unwrap();
    assert_eq!((remote.protocol, remote.url.as_str()), (remote::Protocol::OpenAi, "http://h:8000/v1"));
    assert_eq!(remote.model.as_deref(), Some("whisper-1"));
    assert_eq!(remote.api_key.unwrap().expose_secret(), "0123");
    assert_eq!(remote.total, Duration::from_secs(2));
    assert!(!remote.partials, "each would cost a request");
    let file = "[asr]\nengine = \"funasr\"\n[asr.remote]\nurl = \"ws://h:10095\"\nhotwords = [\"青屿\"]\n";
    let remote = load(file, &[]).unwrap().config.asr.remote.unwrap();
    assert_eq!(remote.protocol, remote::Protocol::FunAsr(remote::Mode::TwoPass));
    assert!(remote.partials && remote.hotwords == ["青屿"]);
    let offline = load(&format!("{file}mode = \"offline\"\n"), &[]).unwrap().config.asr.remote.unwrap();
    assert!(!offline.partials, "it knows nothing before the end");
}

#[test]
fn a_recognition_server_that_does_not_fit_is_explained() {
    wrong(
        "[asr]\nengine = \"openai\"\n[asr.remote]\nmodel = \"m\"\n",
        "`asr.remote.url`: it is missing, and `asr.engine` needs it",
    );
    wrong(
        "[asr]\nengine = \"funasr\"\n[asr.remote]\nurl = \"http://h\"\n",
        "`asr.remote.url` in nightline.toml line 4: it is not a ws:// or wss:// URL (keys go into `api_key`): write for \
         example \"ws://127.0.0.1:10095\"",
    );
    wrong(
        "[asr.remote]\nurl = \"ws://h\"\n",
        "`asr.remote.url` in nightline.toml line 2: it is set, but `asr.engine` is \"whisper\": set that to \"openai\" \
         or \"funasr\", or remove this",
    );
    wrong(
        "[asr]\nengine = \"openai\"\n[asr.remote]\nurl = \"http://h\"\nmodel = \"m\"\nmode = \"online\"\n",
        "`asr.remote.mode` in nightline.toml line 6: it is set, but `asr.engine` is \"openai\": set that to \"funasr\", \
         or remove this",
    );
    wrong(
        "[asr]\nengine = \"funasr\"\n[asr.remote]\nurl = \"ws://h\"\nfirst_ms = 3000\n",
        "`asr.remote.first_ms` in nightline.toml line 5: it is longer than `asr.remote.total_ms` (1200 ms), which ends all",
    );
    wrong(
        "[asr]\nengine = \"sherpa\"\n",
        "`asr.engine` in nightline.toml line 2: \"sherpa\" is not one of \"whisper\" or \"openai\" or \"funasr\"",
    );
}

#[test]
fn tools_and_models_can_be_in_several_places() {
    let text =
        "[llm]\nurl = \"http://a/v1\"\nmodel = \"m\"\nfallbacks = [\"http://b/v1/\", \"https://c/v1\"]\n";
    let llm = load(text, &[]).unwrap().config.llm.unwrap();
    assert_eq!(llm.fallbacks, ["http://b/v1", "https://c/v1"]);
    for (text, place) in [
        ("url = \"http://h:1/\"", ToolsPlace::Http("http://h:1".into())),
        ("mcp = \"http://h:1/mcp\"", ToolsPlace::Mcp("http://h:1/mcp".into())),
        ("mcp_command = [\"prog\", \"arg\"]", ToolsPlace::McpCommand(vec!["prog".into(), "arg".into()])),
    ] {
        let tools = load(&format!("[tools]\n{text}\n"), &[]).unwrap().config.tools.unwrap();
        assert_eq!(tools.place, place);
    }
}

#[test]
fn webhooks_are_read_with_their_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "geheim-geheim\n").unwrap();
    let text = format!(
        "[[webhook]]\nurl = \"https://crm.example/hook/\"\nsecret_file = {secret:?}\nevents = [\"call_ended\", \"bridged\"]\n\
         [[webhook]]\nurl = \"http://127.0.0.1:9/\"\nsecret = \"geheim-geheim\"\ngive_up_s = 60\n"
    );
    let loaded = load(&text, &[]).unwrap();
    let [crm, other] = &loaded.config.webhooks[..] else { panic!("two webhooks") };
    assert_eq!(crm.url, "https://crm.example/hook/", "a slash at its end is the receiver's business");
    assert_eq!(crm.events.iter().copied().collect::<Vec<_>>(), ["bridged", "call_ended"]);
    assert_eq!((crm.timeout, crm.give_up), (Duration::from_secs(10), Duration::from_secs(86_400)));
    assert_eq!(other.events.len(), crate::hook::EVENTS.len(), "all of them if none is named");
    for webhook in [crm, other] {
        assert_eq!(webhook.secret.expose_secret(), "geheim-geheim");
    }
    assert!(!format!("{loaded:?}").contains("geheim-geheim"), "Debug shows the secret");
    assert!(Config::default().webhooks.is_empty());
}

#[test]
fn mistakes_in_a_webhook_have_their_lines() {
    wrong(
        "[sip]\nmax_calls = 3\n[[webhook]]\nurll = \"http://h/\"\nsecret = \"abc\"\n",
        "unknown key `webhook.0.urll` in nightline.toml line 4: did you mean `webhook.url`?\n\
         `webhook.0.url` in nightline.toml line 3: it is missing, and `webhook` needs it",
    );
    wrong(
        "[[webhook]]\nurl = \"http://h/\"\nevents = [\n\"call_ended\",\n\"call_eneded\"]\nsecret = \"abc\"\n",
        "`webhook.0.events.1` in nightline.toml line 5: \"call_eneded\" is no event; there are: call_answered, \
         handoff_requested, bridged, handoff_ended, callback_booked, message_left, rated, call_ended",
    );
    wrong(
        "[[webhook]]\nurl = \"http://h/\"\n",
        "`webhook.0.secret_file` in nightline.toml line 1: it is missing, and no `secret` is set: the receiver knows us \
         by the signature",
    );
    wrong(
        "[[webhook]]\nurl = \"http://h/\"\nsecret = \"abc\"\n[[webhook]]\nurl = \"http://h/\"\nsecret = \"abc\"\n",
        "`webhook.1.url` in nightline.toml line 5: it is listed twice: make one webhook of both",
    );
    wrong(
        "[webhook]\nurl = \"http://h/\"\n",
        "`webhook` in nightline.toml line 1: expected a list of tables, each of which begins with two brackets, found a table",
    );
    wrong(
        "[[webhook]]\nurl = \"http://h/\"\nsecret = 12345\n",
        "`webhook.0.secret` in nightline.toml line 3: expected a text in quotes, found something else\n\
         `webhook.0.secret_file` in nightline.toml line 1: it is missing, and no `secret` is set: the receiver knows us \
         by the signature",
    );
}

#[test]
fn the_pages_of_calls_have_a_base_and_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "0123456789abcdef\n").unwrap();
    let text = format!(
        "[http]\nlisten = \"127.0.0.1:8088\"\npublic_url = \"https://desk.example/nl/\"\nsecret_file = {file:?}\n"
    );
    let http = load(&text, &[]).unwrap().config.http;
    assert_eq!(http.public_url.as_deref(), Some("https://desk.example/nl"));
    assert_eq!(http.secret.unwrap().expose_secret(), "0123456789abcdef");
    wrong(
        "[http]\nlisten = \"127.0.0.1:8088\"\nsecret = \"short\"\npublic_url = \"https://h/?a=b\"\n",
        "`http.secret` in nightline.toml line 3: it is too short, take 16 characters or more: `openssl rand -hex 32`\n\
         `http.public_url` in nightline.toml line 4: it is not an http:// or https:// URL to which a path can be added: \
         write for example \"https://nightline.example\"",
    );
    wrong(
        "[http]\npublic_url = \"https://h\"\n",
        "`http.public_url` in nightline.toml line 2: it is set, but `http.listen` is not: set that too, or remove this",
    );
}

#[test]
fn media_streams_need_a_token_and_addresses_that_are_some() {
    let good = load(
        "[media]\nlisten = \"127.0.0.1:0\"\ntoken = \"0123456789abcdef\"\naudiosocket = \"127.0.0.1:0\"\n\
         audiosocket_from = [\"10.0.0.7\", \"fd00::/8\"]\nconnect = [\"ws://10.0.0.7:8088/media/\"]\n",
        &[],
    )
    .unwrap();
    let media = good.config.media;
    assert!(media.websocket.is_some());
    let (_, from) = media.audiosocket.unwrap();
    let inside = |ip: &str| from.iter().any(|net| net.contains(&ip.parse::<IpAddr>().unwrap()));
    assert!(inside("10.0.0.7") && inside("fd00::1") && !inside("10.0.0.8"));
    for (text, says) in [
        ("listen = \"127.0.0.1:0\"", "`media.listen` needs it"),
        ("listen = \"127.0.0.1:0\"\ntoken = \"short\"", "too short"),
        ("audiosocket_from = [\"pbx\"]", "no address and no network"),
        ("connect = [\"http://10.0.0.7/\"]", "no beginning of a WebSocket URL"),
        ("connect = [\"ws://10.0.0.7\"]\nmax_streams = 0", "media.max_streams"),
    ] {
        let error = load(&format!("[media]\n{text}\n"), &[]).err().unwrap_or_else(|| panic!("taken: {text}"));
        assert!(error.contains(says), "{text}: {error}");
    }
}

#[test]
fn a_registration_names_an_exchange_and_who_we_are_there() {
    let text = "[[registration]]\nregistrar = \"sip:pbx.example;transport=tcp\"\naor = \"sip:400@pbx.example\"\npassword = \"x\"\n";
    let config = load(text, &[]).unwrap().config;
    let at = &config.registrations[0];
    assert_eq!((at.user.as_str(), at.realm.as_deref(), at.expires), ("400", None, Duration::from_secs(300)));
    for (text, says) in [
        ("aor = \"sip:400@pbx\"", "registrar"),
        ("registrar = \"sip:pbx\"\naor = \"sip:pbx\"", "names no user"),
        ("registrar = \"pbx\"\naor = \"sip:400@pbx\"", "not a SIP URI"),
        ("registrar = \"sip:pbx\"\naor = \"sip:400@pbx\"\nexpires_s = 5", "registration.0.expires_s"),
    ] {
        let error = load(&format!("[[registration]]\n{text}\n"), &[])
            .err()
            .unwrap_or_else(|| panic!("taken: {text}"));
        assert!(error.contains(says), "{text}: {error}");
    }
    let error = load("[sip]\nallow = [\"everybody\"]\n", &[]).err().unwrap();
    assert!(error.contains("sip.allow.0") && error.contains("no network"), "{error}");
}
