// A labelled field with a line of help, and the server's word where the value does not fit.

import type { JSX } from 'preact';
import { useId } from 'preact/hooks';
import type { FieldFault } from '../text/faults';

type Common = {
  label: string;
  hint?: string;
  /** The path of the setting, as a fault names it. */
  path: string;
  fault: FieldFault | null;
};

type Described = { id: string; 'aria-describedby': string; 'aria-invalid': boolean };

function Frame({ label, hint, path, fault, control }: Common & { control: (d: Described) => JSX.Element }) {
  const id = useId();
  const wrong = fault?.field.startsWith(path) ? fault : null;
  const described = {
    id,
    'aria-describedby': `${id}-hint ${id}-fault`,
    'aria-invalid': wrong !== null,
  };
  return (
    <div class="field" data-field={path}>
      <label for={id}>{label}</label>
      {control(described)}
      {hint && (
        <p class="hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
      <p class="field-fault" id={`${id}-fault`} role="alert">
        {wrong?.words}
      </p>
    </div>
  );
}

type TextProps = Common & {
  value: string;
  onValue: (value: string) => void;
  maxLength?: number;
  disabled?: boolean;
  testId?: string;
};

export function TextField(props: TextProps) {
  const { value, onValue, maxLength = 400, disabled = false, testId, ...common } = props;
  return (
    <Frame
      {...common}
      control={(described) => (
        <input
          type="text"
          autocomplete="off"
          maxLength={maxLength}
          disabled={disabled}
          data-testid={testId}
          {...described}
          value={value}
          onInput={(event) => onValue(event.currentTarget.value)}
        />
      )}
    />
  );
}

type PasswordProps = Common & { value: string; onValue: (value: string) => void; testId?: string };

export function PasswordField({ value, onValue, testId, ...common }: PasswordProps) {
  return (
    <Frame
      {...common}
      control={(described) => (
        <input
          type="password"
          autocomplete="off"
          data-testid={testId}
          {...described}
          value={value}
          onInput={(event) => onValue(event.currentTarget.value)}
        />
      )}
    />
  );
}

type NumberProps = Common & { value: string; onValue: (value: string) => void; unit?: string };

export function NumberField({ value, onValue, unit, ...common }: NumberProps) {
  return (
    <Frame
      {...common}
      control={(described) => (
        <span class="with-unit">
          <input
            type="text"
            inputMode="decimal"
            autocomplete="off"
            {...described}
            value={value}
            onInput={(event) => onValue(event.currentTarget.value)}
          />
          {unit && <span class="unit">{unit}</span>}
        </span>
      )}
    />
  );
}

type AreaProps = Common & { value: string; onValue: (value: string) => void; rows: number };

export function AreaField({ value, onValue, rows, ...common }: AreaProps) {
  return (
    <Frame
      {...common}
      control={(described) => (
        <textarea
          rows={rows}
          {...described}
          value={value}
          onInput={(event) => onValue(event.currentTarget.value)}
        />
      )}
    />
  );
}

export type Choice<T extends string> = { value: T; label: string };

type ChoiceProps<T extends string> = Common & {
  value: T;
  choices: Choice<T>[];
  onValue: (value: T) => void;
};

export function ChoiceField<T extends string>({ value, choices, onValue, ...common }: ChoiceProps<T>) {
  return (
    <Frame
      {...common}
      control={(described) => (
        <select
          {...described}
          value={value}
          onChange={(event) => onValue(event.currentTarget.value as T)}
        >
          {choices.map((choice) => (
            <option key={choice.value} value={choice.value} selected={choice.value === value}>
              {choice.label}
            </option>
          ))}
        </select>
      )}
    />
  );
}

type ChecksProps<T extends string> = Common & {
  values: T[];
  choices: Choice<T>[];
  onValues: (values: T[]) => void;
};

/** Any number of choices, in the order in which they stand. */
export function ChecksField<T extends string>(props: ChecksProps<T>) {
  const { label, hint, path, fault, values, choices, onValues } = props;
  const id = useId();
  const wrong = fault?.field.startsWith(path) ? fault : null;
  const chosen = (value: T, checked: boolean) =>
    choices
      .map((choice) => choice.value)
      .filter((other) => (other === value ? checked : values.includes(other)));
  return (
    <div
      class="field"
      data-field={path}
      role="group"
      aria-labelledby={`${id}-label`}
      aria-describedby={`${id}-hint ${id}-fault`}
    >
      <span class="label" id={`${id}-label`}>
        {label}
      </span>
      <div class="checks">
        {choices.map((choice) => (
          <label key={choice.value} class="check">
            <input
              type="checkbox"
              checked={values.includes(choice.value)}
              onChange={(event) => onValues(chosen(choice.value, event.currentTarget.checked))}
            />
            {choice.label}
          </label>
        ))}
      </div>
      {hint && (
        <p class="hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
      <p class="field-fault" id={`${id}-fault`} role="alert">
        {wrong?.words}
      </p>
    </div>
  );
}
