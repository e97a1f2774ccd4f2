// Accuracy per round as a line, drawn by uPlot in the colours of the page.

import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import type { Evaluated } from '../generated/Evaluated';

const HEIGHT = 260;

type Props = { evaluations: Evaluated[]; rounds: number; chance: number };

export function AccuracyChart({ evaluations, rounds, chance }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const data = dataOf(evaluations, chance, rounds);
  const newest = useRef(data);
  newest.current = data;

  useEffect(() => {
    const home = box.current;
    if (!home) return;
    const dark = matchMedia('(prefers-color-scheme: dark)');
    const draw = () => {
      plot.current?.destroy();
      plot.current = new uPlot(optionsOf(home, rounds), newest.current, home);
    };
    draw();
    const resized = new ResizeObserver(() => {
      if (home.clientWidth > 0) plot.current?.setSize({ width: home.clientWidth, height: HEIGHT });
    });
    resized.observe(home);
    dark.addEventListener('change', draw);
    return () => {
      resized.disconnect();
      dark.removeEventListener('change', draw);
      plot.current?.destroy();
      plot.current = null;
    };
  }, [rounds]);

  useEffect(() => plot.current?.setData(data), [evaluations, chance, rounds]);

  return <div class="chart" ref={box} aria-hidden="true" />;
}

function dataOf(evaluations: Evaluated[], chance: number, rounds: number): uPlot.AlignedData {
  const last = Math.max(rounds, evaluations.at(-1)?.round ?? 0);
  const x = Array.from({ length: last + 1 }, (_, round) => round);
  const accuracy = x.map((round) => {
    const found = evaluations.find((evaluation) => evaluation.round === round);
    return found ? found.accuracy * 100 : null;
  });
  return [x, accuracy, x.map(() => chance * 100)];
}

function optionsOf(home: HTMLElement, rounds: number): uPlot.Options {
  const style = getComputedStyle(home);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  const axis = {
    stroke: colour('--ink-2'),
    font: `12px ${style.fontFamily}`,
    ticks: { show: false },
  };
  const accent = colour('--accent');
  return {
    width: home.clientWidth || 320,
    height: HEIGHT,
    padding: [12, 16, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 9 } },
    scales: {
      x: { time: false, range: () => [0, Math.max(1, rounds)] },
      y: { range: (_, low) => [Math.min(40, Math.floor((low ?? 40) / 10) * 10), 100] },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000],
        space: 32,
        label: 'Round',
        labelFont: axis.font,
        labelSize: 22,
        size: 30,
      },
      {
        ...axis,
        grid: { stroke: colour('--line'), width: 1 },
        incrs: [10, 20],
        space: 30,
        size: 52,
        values: (_, ticks) => ticks.map((tick) => `${tick} %`),
      },
    ],
    series: [
      {},
      {
        stroke: accent,
        width: 3,
        points: { show: true, size: 8, fill: accent, stroke: accent },
        spanGaps: true,
      },
      {
        stroke: colour('--ink-3'),
        width: 1.5,
        dash: [5, 5],
        points: { show: false },
      },
    ],
    hooks: { setCursor: [(chart) => showValue(chart)] },
  };
}

/** Writes the value under the pointer next to it. */
function showValue(chart: uPlot): void {
  const index = chart.cursor.idx;
  const value = index == null ? null : chart.data[1]?.[index];
  let tip = chart.over.querySelector<HTMLElement>('.chart-tip');
  if (!tip) {
    tip = document.createElement('div');
    tip.className = 'chart-tip';
    chart.over.append(tip);
  }
  tip.hidden = index == null || value == null;
  if (index == null || value == null) return;
  tip.textContent = `Round ${index}: ${value.toFixed(1)} %`;
  const left = chart.valToPos(index, 'x');
  tip.classList.toggle('leftward', left > chart.over.clientWidth / 2);
  tip.style.left = `${left}px`;
  tip.style.top = `${chart.valToPos(value, 'y')}px`;
}
