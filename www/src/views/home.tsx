// The start page: what this is, and the two ways in.

import { CreateCard } from '../components/create-card';
import { HowItWorks } from '../components/how-it-works';
import { JoinByCode } from '../components/join-by-code';
import { useTitle } from '../components/use-title';

export function Home() {
  useTitle('lpfl: a language model learns across browser tabs');
  return (
    <div class="home">
      <section class="lead">
        <div>
          <h1>A language model learns from everyone’s texts, and no text leaves its tab.</h1>
          <p>
            Open a room and let others join. Each browser tab trains a small model on the few texts
            it holds; only the learnt update travels, and the server averages the updates into one
            common model.
          </p>
        </div>
        <HowItWorks />
      </section>
      <div class="ways">
        <CreateCard />
        <JoinByCode />
      </div>
    </div>
  );
}
