import { fetch, properties, storage } from '@forge/api-2';

export async function run(event: any) {
  const shape = (await storage.get('shape')) ?? 'round';
  const other = await fetch('https://elsewhere.example/badge');
  const answer = await fetch(`BADGES/badge?shape=${shape}`);
  await properties.onJiraIssue(event.issue.key).set('badge', { ...(await answer.json()), elsewhere: other.status });
}
