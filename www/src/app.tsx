// The frame around every page.

import { Link } from './components/link';
import { Mark } from './components/mark';
import { route } from './route';
import { Home } from './views/home';
import { Nowhere } from './views/nowhere';
import { RoomPage } from './views/room';

export function App() {
  const here = route.value;
  return (
    <>
      <a class="skip" href="#content">
        Skip to the content
      </a>
      <header class="top">
        <Link to="/" class="brand">
          <Mark /> lpfl
        </Link>
      </header>
      <main id="content" tabIndex={-1}>
        {here.page === 'home' && <Home />}
        {here.page === 'room' && <RoomPage key={here.code} code={here.code} />}
        {here.page === 'nowhere' && <Nowhere />}
      </main>
    </>
  );
}
