// Numbers as people read them.

const NUMBERS = new Intl.NumberFormat('en');

/** `1234` → `1,234`. */
export function count(value: number): string {
  return NUMBERS.format(value);
}

/** `0.834` → `83.4 %`; `digits` after the point. */
export function percent(share: number, digits = 0): string {
  return `${(share * 100).toFixed(digits)} %`;
}

/** Decimal units, three significant digits: `131072` → `131 KB`. */
export function bytes(value: number): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  let unit = 0;
  let size = value;
  while (size >= 999.5 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? Math.round(size) : significant(size)} ${units[unit]}`;
}

/** `70500` → `1 min 11 s`; below ten seconds with one digit after the point. */
export function duration(milliseconds: number): string {
  const seconds = milliseconds / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const rest = whole % 60;
  return rest === 0 ? `${whole / 60} min` : `${Math.floor(whole / 60)} min ${rest} s`;
}

/** Whole seconds from `now` until `then`, never below zero. */
export function secondsUntil(then: number, now: number): number {
  return Math.max(0, Math.ceil((then - now) / 1000));
}

/** `117.4` → `117`, `8.42` → `8.4`: how many times more something is. */
export function times(factor: number): string {
  return factor >= 10 ? count(Math.round(factor)) : factor.toFixed(1);
}

/** `1 tab`, `2 tabs`. */
export function plural(amount: number, one: string, many = `${one}s`): string {
  return `${count(amount)} ${amount === 1 ? one : many}`;
}

/** Three significant digits without trailing noise from 32-bit floats. */
export function decimal(value: number): string {
  return String(Number(value.toPrecision(3)));
}

function significant(value: number): string {
  if (value >= 99.95) return value.toFixed(0);
  return value >= 9.995 ? value.toFixed(1) : value.toFixed(2);
}
