/**
 * How often a test of faults repeats them: often enough to see a bug that is always there, or with `APIUM_FULL=1`, as the
 * whole check has it (`.ci/run`), as often as it takes to see one that is rarely there.
 */
export const times = (usual: number, full: number): number => (process.env["APIUM_FULL"] === "1" ? full : usual)
