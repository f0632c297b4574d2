//! REGISTER in, replies and events out, on virtual time.

use rand::SeedableRng;

use super::*;
use crate::digest::{Params, response};
use crate::message::{Headers, Method};

const PASSWORD: &str = "right";

struct Desk {
    registrar: Registrar,
    now: Instant,
    rng: StdRng,
    cseq: u32,
    source: SocketAddr,
}

/// How a test logs in: everything that may be wrong.
#[derive(Clone, Copy)]
struct Login<'a> {
    user: &'a str,
    password: &'a str,
    algorithm: DigestAlgorithm,
    count: u32,
}

const GOOD: Login<'_> =
    Login { user: "2001", password: PASSWORD, algorithm: DigestAlgorithm::Sha256, count: 1 };

impl Desk {
    fn new(change: impl FnOnce(&mut RegistrarConfig)) -> Self {
        let mut config = RegistrarConfig::default();
        change(&mut config);
        let ha1 = |algorithm: DigestAlgorithm| Some(algorithm.hash(&["2002", "nightline", PASSWORD]));
        let accounts = [
            Account { user: "2001".to_owned(), realm: None, secret: Secret::Password(PASSWORD.to_owned()) },
            Account {
                user: "2002".to_owned(),
                realm: None,
                secret: Secret::Ha1 { md5: ha1(DigestAlgorithm::Md5), sha256: ha1(DigestAlgorithm::Sha256) },
            },
        ];
        let mut rng = StdRng::seed_from_u64(1);
        Self {
            registrar: Registrar::new(&accounts, &config, &mut rng).expect("good accounts"),
            now: crate::clock::now(),
            rng,
            cseq: 0,
            source: "198.51.100.7:40001".parse().expect("an address"),
        }
    }

    fn send(&mut self, user: &str, extra: &[(&str, &str)]) -> Reply {
        self.cseq += 1;
        let mut headers = Headers::default()
            .with("From", format!("<sip:{user}@nightline>;tag=1"))
            .with("To", format!("<sip:{user}@nightline>"))
            .with("Call-ID", "desk")
            .with("CSeq", format!("{} REGISTER", self.cseq));
        for (name, value) in extra {
            headers.push(*name, *value);
        }
        let uri = "sip:nightline".to_owned();
        let request = Request { method: Method::Register, uri, headers, body: bytes::Bytes::new() };
        let local = "192.0.2.1:5060".parse().expect("an address");
        let flow = Flow {
            transport: Transport::Udp,
            remote: self.source,
            local,
            listener: 0,
            connection: None,
            name: None,
        };
        self.registrar.register(self.now, &request, flow, &mut self.rng)
    }

    fn nonce(&mut self, user: &str) -> String {
        let challenge = self.send(user, &[]);
        assert_eq!(challenge.code, 401);
        nonce_of(&challenge)
    }

    fn with_nonce(&mut self, login: Login<'_>, nonce: &str, extra: &[(&str, &str)]) -> Reply {
        let value = authorization(login, nonce);
        let mut all = vec![("Authorization", value.as_str())];
        all.extend_from_slice(extra);
        self.send(login.user, &all)
    }

    /// Asked and answered.
    fn login(&mut self, login: Login<'_>, extra: &[(&str, &str)]) -> Reply {
        let nonce = self.nonce(login.user);
        self.with_nonce(login, &nonce, extra)
    }

    fn contact(&mut self, contact: &str) -> Reply {
        self.login(GOOD, &[("Contact", contact)])
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.registrar.expire(self.now);
    }

    fn events(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.registrar.poll_event())
            .map(|event| match event {
                RegistrarEvent::Registered(binding) => format!("+{}", binding.contact),
                RegistrarEvent::Unregistered { contact, left, .. } => format!("-{contact} {left}"),
                RegistrarEvent::Expired { contact, left, .. } => format!("!{contact} {left}"),
                RegistrarEvent::Missed => "missed".to_owned(),
            })
            .collect()
    }

    fn contacts(&self) -> Vec<String> {
        self.registrar.bindings(self.now, Some("2001")).into_iter().map(|b| b.contact).collect()
    }
}

fn authorization(login: Login<'_>, nonce: &str) -> String {
    let Login { user, password, algorithm, count } = login;
    let (uri, count) = ("sip:nightline", format!("{count:08x}"));
    let ha1 = algorithm.hash(&[user, "nightline", password]);
    let response = response(algorithm, &ha1, nonce, Some((&count, "c")), "REGISTER", uri);
    format!(
        "Digest username=\"{user}\", realm=\"nightline\", nonce=\"{nonce}\", uri=\"{uri}\", qop=auth, nc={count}, \
         cnonce=\"c\", response=\"{response}\", algorithm={}",
        algorithm.as_str()
    )
}

fn challenges(reply: &Reply) -> Vec<Params> {
    reply.headers.all("WWW-Authenticate").filter_map(Params::parse).collect()
}

fn nonce_of(reply: &Reply) -> String {
    let challenges = challenges(reply);
    challenges.first().and_then(|c| c.get("nonce")).expect("a nonce").to_owned()
}

fn is_stale(reply: &Reply) -> bool {
    reply.code == 401 && challenges(reply).iter().all(|c| c.get("stale") == Some("true"))
}

#[test]
fn both_hashes_are_offered_and_either_lets_a_password_and_an_ha1_in() {
    let mut desk = Desk::new(|_| ());
    let challenge = desk.send("2001", &[]);
    let offered: Vec<_> = challenges(&challenge).iter().map(Params::algorithm).collect();
    assert_eq!(offered, [Some(DigestAlgorithm::Sha256), Some(DigestAlgorithm::Md5)]);
    for user in ["2001", "2002"] {
        for algorithm in [DigestAlgorithm::Sha256, DigestAlgorithm::Md5] {
            let reply = desk.login(Login { user, algorithm, ..GOOD }, &[("Contact", "<sip:a@h>")]);
            assert_eq!(reply.code, 200, "{user} by {algorithm:?}");
            let contact = reply.headers.get("Contact").expect("the contact comes back");
            assert_eq!(contact, "<sip:a@h>;expires=3600;q=1.000");
        }
    }
}

#[test]
fn an_unknown_user_and_a_wrong_password_look_the_same() {
    let shape = |reply: &Reply, user: &str| {
        let fields: Vec<_> = reply
            .headers
            .iter()
            .map(|(name, value)| {
                let nonce = Params::parse(value).and_then(|p| p.get("nonce").map(str::to_owned));
                (name.to_owned(), value.replace(&nonce.unwrap_or_default(), "N").replace(user, "U"))
            })
            .collect();
        (reply.code, reply.reason.clone(), fields)
    };
    let both = ["2001", "9999"].map(|user| {
        let mut desk = Desk::new(|_| ());
        let asked = desk.send(user, &[]);
        let nonce = nonce_of(&asked);
        let wrong = desk.with_nonce(Login { user, password: "wrong", ..GOOD }, &nonce, &[]);
        (shape(&asked, user), shape(&wrong, user))
    });
    assert_eq!(both[0], both[1]);
    assert_eq!(both[0].1.0, 403);
}

#[test]
fn nobody_registers_for_somebody_else() {
    let mut desk = Desk::new(|_| ());
    let nonce = desk.nonce("2002");
    let value = authorization(GOOD, &nonce);
    let reply = desk.send("2002", &[("Authorization", &value), ("Contact", "<sip:a@h>")]);
    assert_eq!(reply.code, 403, "2001's password is not 2002's");
    assert!(desk.registrar.bindings(desk.now, None).is_empty());
}

#[test]
fn a_copy_of_a_request_is_not_taken_again_and_a_higher_count_is() {
    let mut desk = Desk::new(|_| ());
    let nonce = desk.nonce("2001");
    assert_eq!(desk.with_nonce(GOOD, &nonce, &[]).code, 200);
    assert!(is_stale(&desk.with_nonce(GOOD, &nonce, &[])), "the same count");
    assert_eq!(desk.with_nonce(Login { count: 3, ..GOOD }, &nonce, &[]).code, 200);
    assert!(is_stale(&desk.with_nonce(Login { count: 2, ..GOOD }, &nonce, &[])), "a lower count");
}

#[test]
fn an_old_nonce_a_strange_one_and_one_for_another_address_are_stale() {
    let mut desk = Desk::new(|_| ());
    let nonce = desk.nonce("2001");
    let home = desk.source;
    desk.source = "198.51.100.8:40001".parse().expect("an address");
    assert!(is_stale(&desk.with_nonce(GOOD, &nonce, &[])), "given to another address");
    desk.source = SocketAddr::new(home.ip(), 50_000);
    assert_eq!(desk.with_nonce(GOOD, &nonce, &[]).code, 200, "another port of a NAT is fine");
    desk.source = home;
    desk.pass(301);
    assert!(is_stale(&desk.with_nonce(Login { count: 2, ..GOOD }, &nonce, &[])), "too old");
    assert!(is_stale(&desk.with_nonce(GOOD, "made up, and longer than thirty-two bytes é", &[])), "made up");
}

#[test]
fn guessing_is_stopped_and_only_for_the_address_that_guesses() {
    let mut desk = Desk::new(|config| config.max_failures = 3);
    for _ in 0..3 {
        assert_eq!(desk.login(Login { password: "guess", ..GOOD }, &[]).code, 403);
    }
    let locked = desk.send("2001", &[]);
    assert_eq!((locked.code, locked.headers.get("Retry-After")), (503, Some("60")));
    let guesser = desk.source;
    desk.source = "198.51.100.8:40001".parse().expect("an address");
    assert_eq!(desk.login(GOOD, &[]).code, 200, "another address is not touched");
    desk.source = guesser;
    desk.pass(61);
    assert_eq!(desk.login(GOOD, &[]).code, 200, "after a while it may try again");
}

#[test]
fn a_forged_address_that_never_saw_our_nonce_locks_nobody_out() {
    let mut desk = Desk::new(|config| config.max_failures = 3);
    for _ in 0..50 {
        let forged = desk.with_nonce(Login { password: "guess", ..GOOD }, &"0".repeat(64), &[]);
        assert!(is_stale(&forged), "it is only asked again");
    }
    assert_eq!(desk.login(GOOD, &[]).code, 200);
}

#[test]
fn contacts_come_go_and_expire_and_each_is_told_once() {
    let mut desk = Desk::new(|_| ());
    desk.contact("<sip:a@h>;expires=100");
    desk.contact("<sip:b@h;transport=tcp>;q=0.5;expires=200");
    desk.contact("<sip:a@H>;expires=100");
    assert_eq!(desk.events(), ["+sip:a@h", "+sip:b@h;transport=tcp"], "a refresh is not told");
    assert_eq!(desk.contacts(), ["sip:a@H", "sip:b@h;transport=tcp"], "the preferred one first");
    desk.pass(101);
    assert_eq!(desk.events(), ["!sip:a@H 1"]);
    let reply = desk.contact("<sip:b@h;transport=tcp>;expires=0");
    assert_eq!((reply.code, reply.headers.get("Contact")), (200, None));
    assert_eq!(desk.events(), ["-sip:b@h;transport=tcp 0"]);
    assert_eq!(desk.registrar.deadline(), None, "nothing is left to wait for");
}

#[test]
fn a_star_removes_all_but_only_alone_and_with_zero() {
    let mut desk = Desk::new(|_| ());
    desk.contact("<sip:a@h>, <sip:b@h>");
    assert_eq!(desk.login(GOOD, &[("Contact", "*")]).code, 400);
    assert_eq!(desk.login(GOOD, &[("Contact", "*, <sip:c@h>"), ("Expires", "0")]).code, 400);
    assert_eq!(desk.contacts().len(), 2, "a bad request changes nothing");
    assert_eq!(desk.login(GOOD, &[("Contact", "*"), ("Expires", "0")]).code, 200);
    assert!(desk.contacts().is_empty());
}

#[test]
fn too_short_is_refused_with_the_minimum_and_too_long_is_cut() {
    let mut desk = Desk::new(|_| ());
    let short = desk.contact("<sip:a@h>;expires=5");
    assert_eq!((short.code, short.headers.get("Min-Expires")), (423, Some("60")));
    let long = desk.login(GOOD, &[("Contact", "<sip:a@h>"), ("Expires", "99999999")]);
    assert_eq!(long.headers.get("Contact"), Some("<sip:a@h>;expires=3600;q=1.000"));
    let odd = desk.contact("<sip:a@h>;expires=soon");
    assert_eq!(odd.headers.get("Contact"), Some("<sip:a@h>;expires=3600;q=1.000"), "as if not given");
}

#[test]
fn a_request_that_came_late_changes_nothing() {
    let mut desk = Desk::new(|_| ());
    desk.contact("<sip:a@h>");
    desk.cseq = 0;
    // The challenge is number 1 and the answer number 2, as the first time.
    assert_eq!(desk.contact("<sip:a@h>;expires=0").code, 500);
    assert_eq!(desk.contacts(), ["sip:a@h"]);
}

#[test]
fn contacts_are_bounded_and_a_phone_that_starts_again_replaces_itself() {
    let mut desk = Desk::new(|config| config.max_contacts = 2);
    desk.contact("<sip:a@h>;expires=100;+sip.instance=\"<urn:uuid:1>\"");
    desk.contact("<sip:b@h>;expires=200");
    desk.contact("<sip:a@h:6000>;expires=300;+sip.instance=\"<urn:uuid:1>\"");
    assert_eq!(desk.contacts(), ["sip:a@h:6000", "sip:b@h"], "the phone's new port for its old one");
    desk.contact("<sip:c@h>;expires=250");
    assert_eq!(desk.contacts(), ["sip:a@h:6000", "sip:c@h"], "the one that would expire first made room");
    assert_eq!(desk.contact("<sip:d@h>, <sip:e@h>, <sip:f@h>").code, 403);
}

#[test]
fn bad_contacts_are_refused() {
    let mut desk = Desk::new(|_| ());
    let long = format!("<sip:{}@h>", "a".repeat(600));
    for contact in ["<tel:123>", "<sip:>", "<mailto:a@b>", "<sip:a@h>;q=2", "<sip:a@h>;q=0.1234", &long] {
        assert_eq!(desk.contact(contact).code, 400, "{contact}");
    }
    assert!(desk.contacts().is_empty());
}

#[test]
fn a_seat_is_called_where_its_register_came_from() {
    let mut desk = Desk::new(|_| ());
    desk.contact("<sip:a@10.0.0.5:5060>");
    let (contact, flow) = desk.registrar.locate(desk.now, "2001", None).expect("registered");
    assert_eq!((contact.as_str(), flow.remote), ("sip:a@10.0.0.5:5060", desk.source));
    assert!(desk.registrar.is_seat(&flow), "and its own calls are known to be a seat's");
    assert!(desk.registrar.locate(desk.now, "2002", None).is_none());
}

#[test]
fn contacts_are_taken_back_after_a_restart_and_go_on_expiring() {
    let mut desk = Desk::new(|_| ());
    desk.contact("<sip:a@h>;expires=100");
    desk.pass(30);
    let kept = desk.registrar.bindings(desk.now, None);
    assert_eq!(kept[0].expires_in, Duration::from_secs(70));
    let (_, flow) = desk.registrar.locate(desk.now, "2001", None).expect("registered");
    let mut again = Desk::new(|_| ());
    let gone = Binding { user: "nobody".to_owned(), ..kept[0].clone() };
    again.registrar.restore(again.now, vec![(kept[0].clone(), flow), (gone, flow)]);
    assert_eq!(again.contacts(), ["sip:a@h"]);
    assert_eq!(again.events(), [""; 0], "nothing is told");
    again.pass(71);
    assert_eq!(again.events(), ["!sip:a@h 0"]);
}

#[test]
fn accounts_that_cannot_work_are_refused_at_the_start() {
    let try_out = |accounts: &[Account], config: &RegistrarConfig| {
        let mut rng = StdRng::seed_from_u64(1);
        Registrar::new(accounts, config, &mut rng).map(|_| ()).map_err(|error| error.to_string())
    };
    let good = Account { user: "a".to_owned(), realm: None, secret: Secret::Password("x".to_owned()) };
    let config = RegistrarConfig::default();
    let twice = try_out(&[good.clone(), good.clone()], &config).expect_err("two of a name");
    assert!(twice.contains("two of that name"), "{twice}");
    let half = Secret::Ha1 { md5: Some("0".repeat(32)), sha256: None };
    let half = Account { secret: half, ..good.clone() };
    let told = try_out(std::slice::from_ref(&half), &config).expect_err("SHA-256 is offered");
    assert!(told.contains("SHA-256 is offered to all"), "{told}");
    let md5 = RegistrarConfig { algorithms: vec![DigestAlgorithm::Md5], ..config.clone() };
    assert_eq!(try_out(&[half], &md5), Ok(()));
    for user in ["", "a b", "a@b", "a\r\nb"] {
        assert!(try_out(&[Account { user: user.to_owned(), ..good.clone() }], &config).is_err(), "{user:?}");
    }
}

proptest::proptest! {
    #[test]
    fn no_register_makes_the_registrar_panic(
        contact in ".{0,60}", expires in "[0-9*.a-z ]{0,12}", login in ".{0,80}", q in "[0-9.]{0,6}",
    ) {
        let mut desk = Desk::new(|_| ());
        let contact = format!("{contact};q={q}");
        desk.send("2001", &[("Authorization", &format!("Digest realm=\"nightline\", {login}"))]);
        desk.login(GOOD, &[("Contact", &contact), ("Expires", &expires)]);
        proptest::prop_assert!(desk.contacts().len() <= 5);
    }
}
