// A room: joined, or seen from outside.

import { useEffect } from 'preact/hooks';
import { AccuracyCard } from '../components/accuracy-card';
import { AdapterCard } from '../components/adapter-files';
import { ByteCard } from '../components/byte-card';
import { DownloadBar } from '../components/download-bar';
import { FaultNote } from '../components/fault-note';
import { HoldingCard } from '../components/holding-card';
import { Invite } from '../components/invite';
import { JoinCard } from '../components/join-card';
import { Link } from '../components/link';
import { MessageLedger } from '../components/message-ledger';
import { OwnerControls } from '../components/owner-controls';
import { RoomFacts } from '../components/room-facts';
import { Roster } from '../components/roster';
import { RoundHistory } from '../components/round-history';
import { StatusLine } from '../components/status-line';
import { StoppedNote } from '../components/stopped-note';
import { TryCard } from '../components/try-card';
import { useTitle } from '../components/use-title';
import { go } from '../route';
import * as session from '../state/session';
import { offerFor } from '../text/faults';

export function RoomPage({ code }: { code: string }) {
  useEffect(() => {
    session.open(code);
    return session.close;
  }, [code]);

  const { view, me, adopted, settings, notices, workers } = session.room.value;
  const phase = view?.phase.type;
  const joined = session.joined.value;
  const gathering = view?.completed === 0 && phase !== 'working' && phase !== 'finished';
  const stopped = session.room.value.stopped?.fault;
  const canJoin = phase !== 'finished' && (!stopped || offerFor(stopped) === 'join_again');
  // Until the server has answered nothing else is certain, not even that there is such a room.
  const known = settings !== null;
  const inviting = joined && gathering && session.owner.value !== null;
  const mine = (
    <div class="halves" key="mine">
      <TryCard />
      <HoldingCard />
    </div>
  );
  if (session.missing.value) return <Missing code={code} />;
  return (
    <div
      class={`room ${joined ? 'joined' : 'outside'}`}
      data-testid="room"
      data-phase={phase ?? ''}
      data-completed={view?.completed ?? ''}
      data-hash={adopted?.hash ?? ''}
      data-client={me ?? ''}
      data-joined={joined}
      data-workers={workers.ready}
      data-helped={workers.helped}
    >
      <section class="hero" aria-label="State of the room">
        <h1>
          {settings?.title ?? ' '} <span class="hero-code">{code}</span>
        </h1>
        <StatusLine />
        <div class="hero-actions">
          {session.owner.value !== null && <OwnerControls />}
          {joined && <TabControls />}
        </div>
      </section>

      <StoppedNote />
      {notices.map((fault) => (
        <FaultNote key={fault.code} fault={fault} onDismiss={() => session.forget(fault)} />
      ))}

      {known && (
        <div class="columns">
          <div class="wide">
            {joined ? <DownloadBar /> : canJoin && <JoinCard />}
            {inviting && <Invite code={code} size="large" />}
            {gathering && joined && mine}
            <AccuracyCard key="accuracy" />
            {!gathering && joined && mine}
          </div>
          <div class="side">
            <AdapterCard />
            <Roster />
            {joined && <ByteCard />}
            {!inviting && phase !== 'finished' && <Invite code={code} size="small" />}
          </div>
        </div>
      )}
      {joined && <MessageLedger />}
      {known && <RoundHistory />}
      <RoomFacts />
    </div>
  );
}

function TabControls() {
  const paused = session.paused.value;
  const finished = session.room.value.view?.phase.type === 'finished';
  return (
    <div class="tab-controls" role="group" aria-label="Your tab">
      {!finished && (
        <button
          type="button"
          data-testid="pause"
          aria-pressed={paused}
          class={paused ? 'primary' : ''}
          onClick={paused ? session.resume : session.pause}
        >
          {paused ? 'Resume my tab' : 'Pause my tab'}
        </button>
      )}
      <button type="button" data-testid="leave" onClick={session.leave}>
        Leave
      </button>
    </div>
  );
}

function Missing({ code }: { code: string }) {
  const fault = session.missing.value;
  useTitle(`No room ${code} · lpfl`);
  if (!fault) return null;
  return (
    <div class="room" data-testid="room" data-phase="" data-completed="" data-hash="" data-client="">
      <section class="narrow">
        <h1>
          Room <span class="hero-code">{code}</span>
        </h1>
        <FaultNote fault={fault}>
          <Link to="/" class="button">
            Go to the start page
          </Link>
          <button type="button" onClick={() => go(location.pathname)}>
            Look again
          </button>
        </FaultNote>
      </section>
    </div>
  );
}
