// Runs emulate on a free port of 127.0.0.1:
//
//   node emulate.mjs SERVICE SEED
//
// The seed is JSON. Prints the service's URL and runs until standard input
// ends, so that it never outlives the test.
import { createEmulator } from 'emulate';

const [service, seed] = process.argv.slice(2);
const emulator = await createEmulator({ service, port: 0, seed: JSON.parse(seed) });
console.log(`http://127.0.0.1:${new URL(emulator.url).port}`);
process.stdin.resume().on('end', () => emulator.close().then(() => process.exit(0)));
