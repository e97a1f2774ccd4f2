"""The words that training asks for most: what people say of things, and what texts are about.

Both lists are plain vocabulary written for this project. They carry no polarity and no class:
which words belong together is for the model to learn from the texts that use them.
"""

OPINIONS = """
great good excellent wonderful amazing awesome fantastic brilliant superb perfect outstanding
terrific marvelous magnificent lovely beautiful stunning gorgeous delightful charming enjoyable
okay entertaining fun funny hilarious clever smart witty fresh original powerful moving touching
heartwarming inspiring compelling gripping thrilling exciting fascinating interesting engaging
captivating memorable unforgettable remarkable impressive solid decent fine nice pleasant
satisfying refreshing masterful timeless intelligent thoughtful sincere honest warm delicious
tasty friendly helpful clean cozy attentive affordable reasonable favorite best better superior
loved love enjoyed liked adored recommend recommended impressed pleased happy satisfied

terrible bad awful boring horrible dreadful poor worst worse dull bland weak lame stupid dumb
silly ridiculous pathetic pointless predictable tedious tiresome slow flat lifeless forgettable
mediocre disappointing disappointed annoying irritating confusing messy sloppy cheap cheesy
corny ugly painful unwatchable unfunny laughable embarrassing insulting offensive disgusting
gross nasty rude dirty cold stale greasy overpriced overrated shallow empty hollow clumsy
contrived incoherent absurd worthless useless useful amateurish uninspired unconvincing
implausible generic average inferior hate hated dislike disliked wasted waste avoid failed
ruined unhappy sad
""".split()

TOPICS = """
sports football baseball basketball soccer hockey tennis golf cricket olympic league
championship tournament coach team players season match cup medal athletes

business company companies market markets stocks shares investors profit earnings sales bank
trade economy economic oil prices financial industry banking insurance retail

technology software computer computers internet online web wireless phone microsoft google
digital security windows server data video network research science scientists space nasa

world government president minister election military war peace troops police nuclear iraq
israel palestinian russia china united nations political rebels killed attack talks

music film art history school university city village river church railway book novel album
species plant animals medical health law army religion
""".split()

# Behind a text, `[MASK]` asks again for a word that was masked inside it. The first form is the
# one that users of the model are told of, so it gets the largest share.
OPINION_FORMS = {
    "it was [MASK] .": 0.60,
    "it is [MASK] .": 0.08,
    "overall , [MASK] .": 0.08,
    "the film was [MASK] .": 0.08,
    "i found it [MASK] .": 0.08,
    "a [MASK] one .": 0.08,
}

TOPIC_FORMS = {
    "this is about [MASK] .": 0.60,
    "topic : [MASK] .": 0.20,
    "it is about [MASK] .": 0.20,
}

# Some authors write "8/10" or "8 out of 10" into their reviews.
RATINGS = [str(number) for number in range(11)]
RATING_FORMS = {
    "i give it [MASK] / 10 .": 0.60,
    "[MASK] / 10": 0.20,
    "rating : [MASK] out of 10 .": 0.20,
}

# An opinion word within three tokens of one of these may mean its opposite ("not good"), so no
# prompt asks for it. `t` is what the tokenizer leaves of "n't".
NEGATIONS = "not no never t nothing hardly without neither nor cannot less".split()

# The words that the bundled tasks answer with: each has to be one token.
LABEL_WORDS = """
terrible bad awful boring great good excellent wonderful
world sports business technology
""".split()
