const byteUnits: Record<string, number> = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
  TIB: 2 ** 40,
}

/** '64MiB' → 67108864, '1.5GB' → 1500000000, '512' → 512. Undefined if it is not a size. */
export function parseBytes(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([KMGT]?I?B)?$/i.exec(text.trim())
  if (match === null) return undefined
  const factor = byteUnits[(match[2] ?? 'B').toUpperCase()]
  if (factor === undefined) return undefined
  const bytes = Math.round(Number(match[1]) * factor)
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

/** 67108864 → '64 MiB'; at most one decimal. */
export function formatBytes(bytes: number): string {
  for (const [unit, size] of [
    ['TiB', 2 ** 40],
    ['GiB', 2 ** 30],
    ['MiB', 2 ** 20],
    ['KiB', 2 ** 10],
  ] as const) {
    if (bytes >= size) return `${Number((bytes / size).toFixed(1))} ${unit}`
  }
  return `${bytes} B`
}

/** '0.5' cores → 500. Undefined if it is not a positive number of cores with at most three decimals. */
export function parseCpuMillis(text: string): number | undefined {
  if (!/^\d+(\.\d{1,3})?$/.test(text.trim())) return undefined
  return Math.round(Number(text) * 1000)
}

/** 1500 → '1.5' cores. */
export function formatCpuMillis(millis: number): string {
  return String(Number((millis / 1000).toFixed(3)))
}

/** 350 → '350 ms', 12_345 → '12.3 s', 600_000 → '10 min'. */
export function formatDurationMs(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`
  if (ms < 120_000) return `${(ms / 1_000).toFixed(1)} s`
  if (ms < 7_200_000) return `${Math.round(ms / 60_000)} min`
  if (ms < 172_800_000) return `${Math.round(ms / 3_600_000)} h`
  return `${Math.round(ms / 86_400_000)} d`
}
