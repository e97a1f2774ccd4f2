"""The sentences, written for this project, on which the tiny tokenizers are trained."""

REVIEWS = [
    "The film was long and it was great .",
    "The food was cold and it was terrible .",
    "We had a very good time in this small room , it was great .",
    "I would not come back to this place , it was terrible .",
    "A warm soup , a kind waiter and a fine view of the river .",
    "The story is slow , the music is loud and the end is poor .",
    "Nobody in the village had seen such a bad play before .",
    "My sister said the book was great and I think she is right .",
    "They changed the menu twice ; the new one is terrible .",
    "It rained all day , but the garden was still a great place to sit .",
    "The engine would not start , and the service was terrible too .",
    "What a lovely evening : old friends , good bread , great songs .",
    "He talks about nothing for two hours ; it was terrible .",
    "The hotel is near the station and the beds are clean .",
    "This camera is light , quick and easy to hold .",
    "The second half of the show is better than the first half .",
    "Her voice was great , although the sound in the hall was not .",
    "The plot has holes that a train could drive through .",
    "Good value for money , said my father , who never says so .",
    "I waited forty minutes for a terrible cup of coffee .",
    "The children laughed at every joke and so did I .",
    "Don't buy it , isn't it obvious that it won't last ?",
    "We're sure they'll like it , and you'd like it as well .",
    "The battery lasts 3 days , or 72 hours , at 20 degrees .",
    "It cost 19.99 , which is too much for a plastic box .",
    "Was it great ? It was great ! Was it terrible ? It was terrible !",
    "(The second room was better) said the guide [of the museum] .",
    "The actors are great , the words are not : a strange , slow film .",
    "Everything was ready , nothing was right , and nobody was sorry .",
    "Some like it hot , some like it cold , some do not like it at all .",
]

ELSEWHERE = [
    "Le café était très bon , à côté de l'église .",
    "Der Kuchen war süß , das Brötchen größer als gewöhnlich .",
    "El niño comió piña mañana por la mañana .",
    "Žluťoučký kůň běžel přes pole .",
    "Το φαγητό ήταν καλό και ο καφές ζεστός .",
    "Фильм был хороший , но очень длинный .",
    "这个电影很好看 。 我们很喜欢 。",
    "この映画はとても良かったです 。 カメラも軽い 。",
    "영화가 아주 좋았습니다 . 음식도 좋아요 .",
    "الفيلم كان جميلا والطعام كان باردا .",
    "הסרט היה ארוך אבל טוב .",
    "फिल्म बहुत अच्छी थी और खाना ठंडा था ।",
    "ภาพยนตร์ดีมาก อาหารก็ดี",
    "Yay 😀 great ! 👍 so good ❤ … “quoted” – and — dashes €5 £6 ½ ™",
]

# The words of the task must be frequent enough to become one token each in every vocabulary.
SENTENCES = REVIEWS * 4 + ELSEWHERE * 2 + ["it was terrible .", "it was great ."] * 25
