/** Signals by number, as Linux and macOS have them: what events show (celery/platforms.py `signals.signum`). */
const numbers: Readonly<Record<string, number>> = { HUP: 1, INT: 2, QUIT: 3, ABRT: 6, KILL: 9, ALRM: 14, TERM: 15 }

/** `SIGTERM`, `TERM` and `term` are 15; a name nobody knows stays one. */
export const signum = (signal: string): number | string => numbers[signal.toUpperCase().replace(/^SIG/, "")] ?? signal
