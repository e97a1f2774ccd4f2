// The project's mark: three tabs and what they have in common.

export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 32 32" width="28" height="28" aria-hidden="true">
      <path d="M7 7l9 10.5L25 7M16 17.5V27" />
      <circle class="mark-tab" cx="7" cy="7" r="3.4" />
      <circle class="mark-tab" cx="25" cy="7" r="3.4" />
      <circle class="mark-tab" cx="16" cy="27.4" r="3.4" />
      <circle class="mark-model" cx="16" cy="17" r="5.4" />
    </svg>
  );
}
