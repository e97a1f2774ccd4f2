// A picture of one round: texts stay in the tabs, small updates travel to the common model.

const TABS = [
  { x: 8, y: 10, path: 'M84 46 L196 92' },
  { x: 8, y: 138, path: 'M84 166 L196 120' },
  { x: 328, y: 10, path: 'M328 46 L216 92' },
  { x: 328, y: 138, path: 'M328 166 L216 120' },
];

export function HowItWorks() {
  return (
    <svg class="picture" viewBox="0 0 412 212" role="img" aria-label="Four browser tabs keep their texts and send small updates to one common model.">
      {TABS.map(({ x, y, path }, index) => (
        <g key={index}>
          <path class="picture-way" d={path} />
          <circle class={`picture-update update-${index}`} r="5" style={{ offsetPath: `path("${path}")` }} />
          <rect class="picture-tab" x={x} y={y} width="76" height="64" rx="7" />
          <path class="picture-bar" d={`M${x} ${y + 15}h76`} />
          <path class="picture-gold" d={`M${x + 11} ${y + 28}h38`} />
          <path class="picture-text" d={`M${x + 11} ${y + 39}h54M${x + 11} ${y + 50}h44`} />
        </g>
      ))}
      <circle class="picture-model" cx="206" cy="106" r="30" />
      <path class="picture-line" d="M192 114 l9 -6 l8 2 l12 -14" />
    </svg>
  );
}
