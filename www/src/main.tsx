// Wires the page: styles, address bar, session, and the first drawing.

import { render } from 'preact';
import './styles/tokens.css';
import './styles/base.css';
import './styles/forms.css';
import './styles/layout.css';
import './styles/parts.css';
import './styles/room.css';
import './styles/chart.css';
import './styles/people.css';
import './styles/cards.css';
import { App } from './app';
import { followAddress } from './route';
import { stayAwake } from './state/awake';

// `npm run mock` shows the page without a server; a build leaves this out.
if (import.meta.env.MODE === 'mock') (await import('./mock')).install();

const page = document.getElementById('page');
if (page) {
  followAddress();
  stayAwake();
  render(<App />, page);
}
