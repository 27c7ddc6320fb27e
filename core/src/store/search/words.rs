//! What is searched for.

use super::fold::{fold, is_of_word, is_unspaced};

/// Of a word that has more, the last two are left out, as far as so many stay: most languages inflect there, and of fewer letters
/// there are too many words.
const LETTERS_KEPT: usize = 4;
const LETTERS_CUT: usize = 2;
/// A word of fewer letters is searched for where words begin.
const LETTERS_OF_INDEX: usize = 3;
/// What the index is asked for: the rest is found out by reading the messages.
const MOST_TRIGRAMS: usize = 32;
const MOST_PATTERNS: usize = 8;
/// The Arabic article.
const ARTICLE: [char; 2] = ['\u{0627}', '\u{0644}'];

/// Texts that are all in a folded text which is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Words(Vec<String>);

impl Words {
    pub(crate) fn of(query: &str) -> Self {
        let mut words: Vec<Word> = Vec::new();
        for word in query.split(|letter| !is_of_word(letter)) {
            Word::add(&fold(word), &mut words);
        }
        let last = words.len().saturating_sub(1);
        let mut patterns: Vec<String> = Vec::new();
        for (place, word) in words.into_iter().enumerate() {
            let pattern = word.pattern(place == last);
            if !patterns.contains(&pattern) {
                patterns.push(pattern);
            }
        }
        Self(patterns)
    }

    /// Whether there is nothing to search for.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn are_in(&self, text: &str) -> bool {
        let folded = fold(text);
        self.0.iter().all(|pattern| folded.contains(pattern))
    }

    /// The longest of them.
    pub(super) fn patterns(&self) -> Vec<&str> {
        let mut patterns: Vec<_> = self.0.iter().map(String::as_str).collect();
        patterns.sort_by_key(|pattern| std::cmp::Reverse(pattern.chars().count()));
        patterns.truncate(MOST_PATTERNS);
        patterns
    }

    /// Three letters each; none of a word that has too few.
    pub(super) fn trigrams(&self) -> Vec<String> {
        let mut trigrams: Vec<String> = Vec::new();
        for pattern in self.patterns() {
            let letters: Vec<char> = pattern.chars().collect();
            for trigram in letters.windows(LETTERS_OF_INDEX) {
                let trigram = trigram.iter().collect();
                if !trigrams.contains(&trigram) {
                    trigrams.push(trigram);
                }
                if trigrams.len() == MOST_TRIGRAMS {
                    return trigrams;
                }
            }
        }
        trigrams
    }
}

enum Word {
    Spaced(Vec<char>),
    /// Of a script without spaces between words.
    Unspaced(Vec<char>),
}

impl Word {
    /// Those of one word of a query: a run of letters of another script is a word of its own.
    fn add(folded: &str, words: &mut Vec<Self>) {
        let mut run: Vec<char> = Vec::new();
        for part in folded.split_ascii_whitespace() {
            let letters: Vec<char> = part.chars().collect();
            if let [letter] = letters[..]
                && is_unspaced(letter)
            {
                run.push(letter);
                continue;
            }
            if !run.is_empty() {
                words.push(Self::Unspaced(std::mem::take(&mut run)));
            }
            words.push(Self::Spaced(letters));
        }
        if !run.is_empty() {
            words.push(Self::Unspaced(run));
        }
    }

    fn pattern(self, is_last: bool) -> String {
        match self {
            Self::Unspaced(mut letters) => {
                cut(&mut letters);
                let mut pattern = String::from(" ");
                for letter in letters {
                    pattern.push(letter);
                    pattern.push(' ');
                }
                pattern
            }
            Self::Spaced(mut letters) => {
                if letters.len() > LETTERS_KEPT && letters.starts_with(&ARTICLE) {
                    letters.drain(..ARTICLE.len());
                }
                // A number is no word that is inflected.
                if !letters.iter().any(|letter| letter.is_numeric()) {
                    cut(&mut letters);
                }
                let word: String = letters.iter().collect();
                match (letters.len() < LETTERS_OF_INDEX, is_last) {
                    (false, _) => word,
                    (true, true) => format!(" {word}"),
                    (true, false) => format!(" {word} "),
                }
            }
        }
    }
}

fn cut(letters: &mut Vec<char>) {
    letters.truncate(letters.len().saturating_sub(LETTERS_CUT).max(LETTERS_KEPT));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(query: &str) -> Vec<String> {
        Words::of(query).0
    }

    #[test]
    fn a_query_is_what_has_to_be_in_a_text() {
        for (query, expected) in [
            ("Concert tickets", &["conce", "ticke"][..]),
            ("tea", &["tea"]),
            ("he is", &[" he ", " is"]),
            ("is 14:30", &[" is ", " 14 ", " 30"]),
            ("0171 5550123", &["0171", "5550123"]),
            ("学校接孩子", &[" 学 校 接 孩 "]),
            ("学校 wifi", &[" 学 校 ", "wifi"]),
            ("wi-fiパスワード", &[" wi ", " fi ", " ハ ス ワ ー "]),
            ("المدرسة", &["مدرس"]),
            ("x x", &[" x ", " x"]),
            ("tea Tea", &["tea"]),
            ("?!", &[]),
        ] {
            assert_eq!(patterns(query), expected, "{query}");
        }
    }

    #[test]
    fn all_words_are_in_what_is_found() {
        let found = |query: &str, text: &str| Words::of(query).are_in(text);
        assert!(found("kaesekuchen", "Kannst du Käsekuchen mitbringen?"));
        assert!(found("reparatur rechnung", "Die Rechnung für die Autoreparatur ist da"));
        assert!(found("hotels", "ein Hotel am See") && !found("hotel", "a photo"));
        assert!(found("to g", "to go"));
        assert!(!found("to g", "together"));
        assert!(!found("rechnung kuchen", "Die Rechnung"));
        assert!(found("预约", "改到下午的预约"));
        assert!(!found("约预", "改到下午的预约"));
    }

    #[test]
    fn the_index_is_asked_for_no_more_than_helps() {
        let words = Words::of("to 学校 tea");
        assert_eq!(words.trigrams(), [" 学 ", "学 校", " 校 ", " to", "to ", "tea"]);
        assert!(Words::of("a").trigrams().is_empty());
        let long: String = ('a'..='z').chain('a'..='z').flat_map(|letter| [letter, 'x']).collect();
        assert_eq!(Words::of(&long[..100]).trigrams().len(), MOST_TRIGRAMS);
        let many = ["aaa", "bbb", "ccc", "ddd", "eee", "fff", "ggg", "hhh", "iii"].join(" ");
        assert_eq!(Words::of(&many).patterns().len(), MOST_PATTERNS);
    }
}
