import { antiSpoof } from './anti-spoof.ts'
import { arp } from './arp.ts'
import { classify } from './classify.ts'
import { deliver } from './deliver.ts'
import type { Feature } from './feature.ts'
import { gateway } from './gateway.ts'
import { locate } from './locate.ts'
import { routing } from './routing.ts'
import { tableMiss } from './table-miss.ts'

/** All features. Their order means nothing: rows meet only through tables, priorities and registers. */
export const features: readonly Feature[] = [
  tableMiss,
  classify,
  antiSpoof,
  arp,
  gateway,
  routing,
  locate,
  deliver,
]
