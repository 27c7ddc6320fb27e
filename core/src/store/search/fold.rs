//! What becomes of a text before it is indexed or searched: letters that people take for one another are one, and what is no
//! letter and no digit is a space. The same for both engines.

use unicode_normalization::UnicodeNormalization as _;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory as _};

/// A folded text begins and ends with a space, and has no two of them in a row.
pub(crate) fn fold(text: &str) -> String {
    let mut folded = Folded::with_capacity(text.len() + 2);
    for letter in text.nfkd() {
        folded.push(letter);
    }
    folded.end()
}

/// Whether a letter is part of a word of a query, or between two.
pub(super) fn is_of_word(letter: char) -> bool {
    if letter.is_ascii() {
        return letter.is_ascii_alphanumeric();
    }
    !matches!(kind(letter), Kind::Between)
}

/// Whether words of the script are written without a space between them. Each letter is followed by one then, which makes words
/// of two letters long enough for an index of three.
pub(super) fn is_unspaced(letter: char) -> bool {
    matches!(letter,
        '\u{0E00}'..='\u{0EFF}' // Thai, Lao
        | '\u{1000}'..='\u{109F}' // Burmese
        | '\u{1780}'..='\u{17FF}' // Khmer
        | '\u{2E80}'..='\u{2FDF}' // Radicals
        | '\u{3005}'..='\u{3007}'
        | '\u{3040}'..='\u{312F}' // Hiragana, katakana, bopomofo
        | '\u{31A0}'..='\u{31BF}'
        | '\u{31F0}'..='\u{31FF}'
        | '\u{3400}'..='\u{4DBF}' // Han
        | '\u{4E00}'..='\u{9FFF}'
        | '\u{F900}'..='\u{FAFF}'
        | '\u{20000}'..='\u{3FFFF}')
        || matches!(kind(letter), Kind::Symbol)
}

enum Kind {
    Letter,
    /// An emoji, say: a word by itself.
    Symbol,
    /// Accents, vowel signs, what joins letters.
    Mark,
    Between,
}

fn kind(letter: char) -> Kind {
    let category = letter.general_category();
    if category == GeneralCategory::OtherSymbol {
        return Kind::Symbol;
    }
    if category == GeneralCategory::Format {
        return Kind::Mark;
    }
    match letter.general_category_group() {
        GeneralCategoryGroup::Letter | GeneralCategoryGroup::Number => Kind::Letter,
        GeneralCategoryGroup::Mark => Kind::Mark,
        GeneralCategoryGroup::Punctuation
        | GeneralCategoryGroup::Symbol
        | GeneralCategoryGroup::Separator
        | GeneralCategoryGroup::Other => Kind::Between,
    }
}

struct Folded(String);

impl Folded {
    fn with_capacity(bytes: usize) -> Self {
        let mut text = String::with_capacity(bytes);
        text.push(' ');
        Self(text)
    }

    fn push(&mut self, letter: char) {
        if letter.is_ascii() {
            return match letter.is_ascii_alphanumeric() {
                true => self.letter(letter.to_ascii_lowercase()),
                false => self.space(),
            };
        }
        match kind(letter) {
            Kind::Mark => {}
            Kind::Between => self.space(),
            Kind::Symbol => self.alone(letter),
            Kind::Letter if is_unspaced(letter) => self.alone(letter),
            Kind::Letter => {
                // By capitals: ß is SS, and the dotless i is an I.
                for letter in letter.to_uppercase().flat_map(char::to_lowercase) {
                    if !matches!(kind(letter), Kind::Mark) {
                        self.unified(letter);
                    }
                }
            }
        }
    }

    fn unified(&mut self, letter: char) {
        match letter {
            // What lengthens a word in Arabic.
            '\u{0640}' => {}
            // Alef with a sign of its own, the final forms of ya and ta, and the Persian kaf and ya.
            '\u{0671}' => self.letter('\u{0627}'),
            '\u{0649}' | '\u{06CC}' => self.letter('\u{064A}'),
            '\u{0629}' => self.letter('\u{0647}'),
            '\u{06A9}' => self.letter('\u{0643}'),
            // Not taken apart by Unicode.
            'ø' => self.letter('o'),
            'ł' => self.letter('l'),
            'đ' => self.letter('d'),
            'æ' => self.letter('a'),
            'œ' => self.letter('o'),
            letter => self.letter(letter),
        }
    }

    /// Of ae, oe and ue the first letter alone: who has no umlauts on their keyboard writes them so, and others without dots.
    fn letter(&mut self, letter: char) {
        if letter != 'e' || !self.0.ends_with(['a', 'o', 'u']) {
            self.0.push(letter);
        }
    }

    fn alone(&mut self, letter: char) {
        self.space();
        self.0.push(letter);
        self.0.push(' ');
    }

    fn space(&mut self) {
        if !self.0.ends_with(' ') {
            self.0.push(' ');
        }
    }

    fn end(mut self) -> String {
        self.space();
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_are_taken_for_one_another_are_one() {
        for (text, folded) in [
            ("", " "),
            ("Dinner at the Café Zoë!!", " dinner at the cafe zo "),
            ("KÄSEKUCHEN Kaesekuchen kasekuchen", " kasekuchen kasekuchen kasekuchen "),
            ("Straße STRASSE", " strasse strasse "),
            ("IŞIK ışık İ", " isik isik i "),
            ("Ёлка ёлка", " елка елка "),
            ("إجتماع السَّلامُ مستشفى كلمة", " اجتماع السلام مستشفي كلمه "),
            ("ﷺ", " صلي الله عليه وسلم "),
            ("学校へ行く", " 学 校 へ 行 く "),
            ("Ｗｉ－Ｆｉの42", " wi fi の 42 "),
            ("ガ ｶﾞ か", " カ カ か "),
            ("โรงเรียน", " โ ร ง เ ร ย น "),
            ("ट्रैफ़िक", " टरफक "),
            ("soft\u{AD}hyphen a\u{200D}b", " softhyphen ab "),
            ("🎉🎉 x", " 🎉 🎉 x "),
            ("l'été d'Ærø, smørrebrød", " l ete d aro smorrebrod "),
        ] {
            assert_eq!(fold(text), folded, "{text}");
        }
    }

    #[test]
    fn what_is_folded_stays_as_it_is() {
        let text = " Käse, 学校 ΣΊΣΥΦΟΣ ﬁn ½ ȷ ǅ 각 🎉 ";
        let folded = fold(text);
        assert_eq!(fold(&folded), folded);
        assert!(!folded.contains("  "));
        // LIKE has no meaning for any of it.
        assert!(!fold("100% a_b c\\d \"e\" 'f'").contains(['%', '_', '\\', '"', '\'']));
    }
}
