"""What people write, in several scripts, and what nobody thinks of."""

SENTENCES = [
    "hello there",
    "Hello, this is my message",
    "Wie geht's? Bis später.",
    "Увидимся завтра в пять часов.",
    "早上好,今天下午有空吗?",
    "今日の会議は三時からです。",
    "오늘 저녁에 봐요",
    "مرحبا، كيف حالك اليوم؟",
    "שלום, מה שלומך?",
    "नमस्ते, आप कैसे हैं?",
    "สวัสดีครับ วันนี้ว่างไหม",
    "Καλημέρα, τι κάνεις;",
    "Bugün İstanbul'da yağmur yağıyor.",
    "👍",
]
UNUSUAL = [
    " leading and trailing \t",
    "line\r\nline\rline\n\n",
    "👨‍👩‍👧‍👦 🏳️‍🌈 e\u0301 \u00e9",
    "\u202eright to left\u202c \u200b\ufeff",
    "'; drop table chat_message; --",
    '{"action": "chat_message", "message_body": "\\"\\\\"}',
    "<script>alert(1)</script>&amp;",
    "\\u0041 \\x41 %41 \\N \\.",
    "\u2028\u2029\u0085\x01\x1f\x7f",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 \U0010fffd \ufffd",
    "null",
    "0",
    " ",
    "long " * 3000,
]


def endless(random):
    """Texts without end: each is its own, so that one in the place of another is seen."""
    number = 0
    while True:
        number += 1
        if number % 100 == 0:
            yield UNUSUAL[number // 100 % len(UNUSUAL)]
        else:
            words = random.choices(SENTENCES, k=random.randint(1, 4))
            yield f"{' '.join(words)} {number}"
