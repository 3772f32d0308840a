//! Texts to try tokenizers on: more than thirty scripts, emoji, code, white space, numbers, contractions, random
//! characters and random bytes. The same ones every time, so that other programs' answers can be kept.

/// How many texts [`corpus`] has.
pub(crate) const LEN: usize = 12_000;

/// One sentence a script or so, and the block that its letters come from.
#[rustfmt::skip]
const SCRIPTS: [(&str, u32, u32); 42] = [
    ("The quick brown fox didn't jump; it'll rest. HelloWorld XMLHttpRequest", 0x41, 0x7A),
    ("Où est l'été ? Ça n'a pas d'importance, NAÏVE Straße", 0xC0, 0x24F),
    ("Tất cả mọi người sinh ra đều được tự do", 0x1EA0, 0x1EF9),
    ("Все люди рождаются свободными и равными", 0x400, 0x4FF),
    ("Όλοι οι άνθρωποι γεννιούνται ελεύθεροι", 0x370, 0x3FF),
    ("يولد جميع الناس أحرارًا متساوين في الكرامة", 0x600, 0x6FF),
    ("כל בני האדם נולדו בני חורין וְשָׁוִים", 0x590, 0x5FF),
    ("सभी मनुष्यों को गौरव और अधिकारों में स्वतन्त्रता", 0x900, 0x97F),
    ("সমস্ত মানুষ স্বাধীনভাবে সমান মর্যাদা", 0x980, 0x9FF),
    ("ਸਾਰਾ ਮਨੁੱਖੀ ਪਰਿਵਾਰ ਆਪਣੀ ਮਹਿਮਾ", 0xA00, 0xA7F),
    ("પ્રતિષ્ઠા અને અધિકારોની દૃષ્ટિએ સર્વ માનવો", 0xA80, 0xAFF),
    ("ସବୁ ମନୁଷ୍ୟ ଜନ୍ମକାଳରୁ ସ୍ୱାଧୀନ", 0xB00, 0xB7F),
    ("மனிதப் பிறவியினர் சகலரும் சுதந்திரமாகவே", 0xB80, 0xBFF),
    ("ప్రతిపత్తిస్వత్వముల విషయమున మానవులెల్లరును", 0xC00, 0xC7F),
    ("ಎಲ್ಲಾ ಮಾನವರೂ ಸ್ವತಂತ್ರರಾಗಿಯೇ ಜನಿಸಿದ್ದಾರೆ", 0xC80, 0xCFF),
    ("മനുഷ്യരെല്ലാവരും തുല്യാവകാശങ്ങളോടും", 0xD00, 0xD7F),
    ("සියලු මනුෂ්‍යයෝ නිදහස්ව උපත ලබා ඇත", 0xD80, 0xDFF),
    ("มนุษย์ทั้งหลายเกิดมามีอิสระ", 0xE01, 0xE5B),
    ("ມະນຸດທຸກຄົນເກີດມາມີກຽດສັກສີ", 0xE81, 0xEDF),
    ("འགྲོ་བ་མིའི་རིགས་རྒྱུད་ཡོངས་ལ", 0xF00, 0xFBC),
    ("လူတိုင်းသည် တူညီ လွတ်လပ်သော", 0x1000, 0x109F),
    ("ყველა ადამიანი იბადება თავისუფალი ᲐᲑᲒ", 0x10A0, 0x10FF),
    ("Բոլոր մարդիկ ծնվում են ազատ", 0x531, 0x589),
    ("모든 인간은 태어날 때부터 자유로우며", 0xAC00, 0xD7A3),
    ("すべての人間は、生まれながらにして自由でありカタカナー", 0x3041, 0x30FF),
    ("人人生而自由,在尊严和权利上一律平等。", 0x4E00, 0x9FA5),
    ("የሰው ልጅ ሁሉ ሲወለድ ነጻና", 0x1200, 0x137C),
    ("មនុស្សទាំងអស់កើតមកមានសេរីភាព", 0x1780, 0x17F9),
    ("ᠬᠦᠮᠦᠨ ᠪᠦᠷ ᠲᠥᠷᠥᠵᠦ", 0x1800, 0x18AA),
    ("ᏂᎦᏓ ᎠᏂᏴᏫ ᏂᎨᎫᏓᎸᎾ ꭰꭱꭲ", 0x13A0, 0x13F5),
    ("ᐃᓄᓕᒫᑦ ᐊᓂᖅᑎᕆᔪᑦ", 0x1401, 0x166C),
    ("ހުރިހާ އިންސާނުންވެސް", 0x780, 0x7B1),
    ("ܟܠ ܒܪܢܫܐ ܒܪܝܠܗ ܚܐܪܐ", 0x700, 0x74A),
    ("ߘߎߢߊ߫ ߡߐ߱ ߓߍ߯ ߓߘߍ߬", 0x7C0, 0x7FA),
    ("ⵉⵎⴷⴰⵏⵏ ⴰⴽⴽⵯ ⵜⵜⵍⴰⵍⵏ", 0x2D30, 0x2D67),
    ("ꦱꦧꦼꦤ꧀ꦲꦸꦮꦺꦴꦁ", 0xA980, 0xA9D9),
    ("ᬲᬓᬮ ᬚᬦ ᬫᬳᬦ᭄", 0x1B00, 0x1B4B),
    ("𐌰𐌻𐌻𐌰𐌹 𐌼𐌰𐌽𐌽𐌰𐌽𐍃", 0x10330, 0x1034A),
    ("ⲛⲓⲣⲱⲙⲓ ⲧⲏⲣⲟⲩ ⲤⲈⲘⲒⲤⲒ", 0x2C80, 0x2CE4),
    ("𐐜𐐲 𐐿𐐶𐐮𐐿 𐐺𐑉𐐵𐑌", 0x10400, 0x1044F),
    ("𞤋𞤲𞥆𞤢𞤥𞤢 𞤢𞥄𞤣𞤫𞥅𞤶𞤭", 0x1E900, 0x1E943),
    ("ꆈꌠꉙ ꊿꃅꌋꍆ", 0xA000, 0xA48C),
];

const EMOJI: [&str; 14] = ["😀", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇺🇳", "1️⃣", "❤️", "☃", "🧑‍🚀", "🫠", "©", "™", "⏱️", "🏴󠁧󠁢󠁳󠁣󠁴󠁿"];

const CODE: [&str; 14] = [
    "fn main() -> Result<(), Box<dyn Error>> {\n    println!(\"{x:?}\");\n}\n",
    "if (a != b && c <= 0x1F) {\n\t\treturn a[i++] * 3.14e-10;\n}",
    "def f(self, *args, **kwargs):\n        \"\"\"doc\"\"\"\n        return None\r\n",
    "SELECT * FROM t WHERE id='1' -- 'S\n",
    "{\"key\": [1, 2.5, null, true], \"s\": \"\\u00e9\\n\"}",
    "https://example.com/a/b//c.html?q=1&r=%20#top",
    "C:\\Users\\me\\file.txt",
    "<div class=\"x\">&nbsp;</div>\n\n\n",
    "// ---- //\n/* ===== */\n",
    "#include <stdio.h>\r\n\r\n",
    "a/b/c\n/d/\n//",
    "\\frac{1}{2} \\sum_{i=0}^{n} x_i^2",
    "<|start|>assistant<|channel|>final<|message|>",
    "<|im_start|>user\n<|endoftext|>",
];

const SPACES: [&str; 18] = [
    " ", " ", "  ", "   ", "        ", "\n", "\n\n", "\r\n", "\r", "\t", "\t\t", "\u{a0}", "\u{3000}", "\u{2003}", "\u{85}", "\u{2028}",
    "\u{b}", "\u{200b}",
];

/// What the alternatives of pre-tokenizers turn on: cases, contractions, marks, newlines, slashes, digits.
#[rustfmt::skip]
const EDGES: [char; 44] = [
    'a', 'b', 'Z', 'Q', '\'', '\'', '\'', 's', 'S', 'ſ', 't', 'T', 'r', 'R', 'e', 'E', 'v', 'V', 'm', 'M', 'l', 'L',
    'd', 'D', ' ', ' ', ' ', '\n', '\r', '\t', '/', '!', '.', '0', '7', '٣', '½', '\u{301}', '\u{93f}', 'ǅ', 'ʰ', '中',
    'é', '\u{3000}',
];

/// The texts, in order.
pub(crate) fn corpus() -> Vec<String> {
    let mut random = Random(2880);
    (0..LEN).map(|index| text(index, &mut random)).collect()
}

fn text(index: usize, random: &mut Random) -> String {
    let script = index / 10 % SCRIPTS.len();
    match index % 10 {
        0 => cut(SCRIPTS[script].0, random),
        1 => words(SCRIPTS[script], random),
        2 => join(random, 8, |random| [random.pick(&EMOJI), random.pick(&["", "", " ", "!", "ok"])].concat()),
        3 => cut(random.pick(&CODE), random),
        4 => join(random, 12, |random| match random.below(3) {
            0 => "word".to_owned(),
            _ => random.pick(&SPACES).to_owned(),
        }),
        5 => {
            let bytes: Vec<u8> = (0..random.below(40)).map(|_| random.below(256) as u8).collect();
            String::from_utf8_lossy(&bytes).into_owned()
        }
        6 => join(random, 16, |random| random.char(0, 0x2_FFFF).to_string()),
        7 => join(random, 6, |random| {
            let script = random.pick(&SCRIPTS);
            match random.below(4) {
                0 => cut(script.0, random),
                1 => cut(random.pick(&CODE), random),
                2 => words(script, random),
                _ => [random.pick(&EMOJI), random.pick(&SPACES)].concat(),
            }
        }),
        8 => join(random, 40, |random| random.pick(&EDGES).to_string()),
        _ => join(random, 8, |random| {
            let number = random.next() >> random.below(64);
            [number.to_string().as_str(), random.pick(&["", " ", ",", ".", "-", "%\n", "٤", "Ⅻ", "x"])].concat()
        }),
    }
}

/// A part of `text`, between any two characters.
fn cut(text: &str, random: &mut Random) -> String {
    let n = text.chars().count();
    let start = random.below(n / 2);
    text.chars().skip(start).take(1 + random.below(n)).collect()
}

fn words((_, first, last): (&str, u32, u32), random: &mut Random) -> String {
    join(random, 6, |random| {
        let word = join(random, 9, |random| random.char(first, last).to_string());
        [word.as_str(), random.pick(&[" ", " ", ", ", "'s ", "-", "\n"])].concat()
    })
}

/// One to `most` parts in a row.
fn join(random: &mut Random, most: usize, part: impl Fn(&mut Random) -> String) -> String {
    (0..=random.below(most)).map(|_| part(random)).collect()
}

/// splitmix64
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// A character from `first` to `last`, assigned or not.
    fn char(&mut self, first: u32, last: u32) -> char {
        loop {
            let code = first + self.below((last - first + 1) as usize) as u32;
            if let Some(c) = char::from_u32(code) {
                return c;
            }
        }
    }
}
