export const beta = (text: string): { a: string } => ({ a: text })
