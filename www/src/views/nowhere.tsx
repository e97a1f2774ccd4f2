// An address that means nothing.

import { Link } from '../components/link';
import { useTitle } from '../components/use-title';

export function Nowhere() {
  useTitle('Nothing here · lpfl');
  return (
    <section class="card narrow">
      <h1>There is nothing at this address.</h1>
      <p>
        Rooms have addresses like <code>/r/CODE</code>.
      </p>
      <Link to="/" class="button">
        Go to the start page
      </Link>
    </section>
  );
}
