//! From decoded tokens to words: characters out of byte tokens, repetition loops.

use super::Token;

/// One token as the decoder gave it.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) id: i32,
    pub(super) bytes: Vec<u8>,
    pub(super) probability: f32,
}

/// Joins byte tokens until they make whole characters. A character's probability is the lowest among its tokens. Bytes that
/// can never become text are left out.
pub(super) fn merge(pieces: &[Piece]) -> Vec<Token> {
    let mut tokens = Vec::new();
    let (mut bytes, mut lowest) = (Vec::new(), 1.0_f32);
    for piece in pieces {
        bytes.extend_from_slice(&piece.bytes);
        lowest = lowest.min(piece.probability);
        let incomplete = std::str::from_utf8(&bytes).is_err_and(|e| e.error_len().is_none());
        if !incomplete {
            push(&mut tokens, &bytes, lowest);
            (bytes, lowest) = (Vec::new(), 1.0);
        }
    }
    push(&mut tokens, &bytes, lowest);
    tokens
}

fn push(tokens: &mut Vec<Token>, bytes: &[u8], probability: f32) {
    let text: String = bytes.utf8_chunks().map(|chunk| chunk.valid()).collect();
    if !text.is_empty() {
        tokens.push(Token { text, probability, ..Token::default() });
    }
}

/// How often the last `n` tokens must repeat, one after the other, to be a loop rather than a way of speaking: 人工人工人工
/// and a phone number with six eights are not loops.
fn loop_repeats(n: usize) -> usize {
    match n {
        1 => 10,
        2 => 6,
        3..=5 => 4,
        _ => 3,
    }
}

/// If `ids` end in a repetition loop, how many tokens to keep: everything up to the end of the loop's first round.
pub(super) fn repetition(ids: &[i32]) -> Option<usize> {
    for n in 1..=ids.len() / 3 {
        let last = &ids[ids.len() - n..];
        let rounds = ids.rchunks_exact(n).take_while(|chunk| *chunk == last).count();
        if rounds >= loop_repeats(n) {
            return Some(ids.len() - n * (rounds - 1));
        }
    }
    None
}

/// Whether `ids` are what a decoder makes of music: a dozen tokens or more of which three in four are the same
/// (五五五五五五六九五五五五五五二). No telephone number is that long, and in longer numbers no digit is that frequent.
pub(super) fn drones(ids: &[i32]) -> bool {
    const LONG: usize = 12;
    let most = ids.iter().map(|id| ids.iter().filter(|other| *other == id).count()).max();
    ids.len() >= LONG && most.is_some_and(|most| 4 * most >= 3 * ids.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(bytes: &[u8], probability: f32) -> Piece {
        Piece { id: 0, bytes: bytes.to_vec(), probability }
    }

    #[test]
    fn a_character_of_several_byte_tokens_is_one_entry_with_their_lowest_probability() {
        let bytes = "胎压".as_bytes();
        let pieces = [piece(&bytes[..1], 0.9), piece(&bytes[1..3], 0.4), piece(&bytes[3..], 0.8)];
        let tokens = merge(&pieces);
        let seen: Vec<_> = tokens.iter().map(|t| (t.text.as_str(), t.probability)).collect();
        assert_eq!(seen, [("胎", 0.4), ("压", 0.8)]);
    }

    #[test]
    fn broken_bytes_are_left_out_and_do_not_spoil_what_follows() {
        let bytes = "压".as_bytes();
        let tokens = merge(&[piece(&[0xff], 0.9), piece(bytes, 0.8), piece(&bytes[..2], 0.7)]);
        assert_eq!(tokens.len(), 1, "{tokens:?}");
        assert_eq!(tokens[0].text, "压");
    }

    #[test]
    fn english_words_keep_their_space() {
        let text: String =
            merge(&[piece(b" hello", 0.9), piece(b" my", 0.9)]).into_iter().map(|t| t.text).collect();
        assert_eq!(text, " hello my");
    }

    #[test]
    fn a_loop_is_cut_after_its_first_round() {
        let ids: Vec<i32> = [9, 8].into_iter().chain([1, 2, 3, 4].repeat(5)).collect();
        assert_eq!(repetition(&ids), Some(6));
        assert_eq!(repetition(&[7; 12]), Some(1));
        assert_eq!(repetition(&[5, 6].repeat(6)), Some(2));
    }

    #[test]
    fn insisting_callers_and_phone_numbers_are_not_loops() {
        assert_eq!(repetition(&[1, 2].repeat(3)), None, "人工人工人工");
        assert_eq!(repetition(&[1, 2, 3].repeat(3)), None, "转人工转人工转人工");
        assert_eq!(repetition(&[4, 5, 8, 8, 8, 8, 8, 8, 8]), None, "a number with seven eights");
        assert_eq!(repetition(&[]), None);
    }

    #[test]
    fn a_drone_is_told_from_numbers_with_many_of_one_digit() {
        let ids = |text: &str| text.chars().map(|c| c as i32).collect::<Vec<_>>();
        assert!(drones(&ids("五五五五五五六九五五五五五五二")), "heard in made music");
        for number in [
            "幺幺幺",
            "八八八八八八",
            "幺三八八八八八八八八八",
            "四零零八八八八八八八",
            "六二二二零二幺零零幺幺幺二二二二三三三",
        ] {
            assert!(!drones(&ids(number)), "{number} can be said");
        }
        assert!(!drones(&ids("喂喂喂听得到吗你好你好")));
        assert!(!drones(&[]));
    }
}
