-- Keeps a new version of a subscription, if the one there is has the version given.
local K, D, C = unpack(KEYS)
local a = cjson.decode(ARGV[1])
local there = redis.call('HGET', K, a.id)
local version = there and string.match(there, '^%d+') or '0'
if version ~= a.version then return { 'other' } end
if not there and redis.call('HLEN', K) >= a.most then return { 'full' } end
redis.call('HSET', K, a.id, a.kept)
redis.call('SADD', C, a.tenant)
if a.due then redis.call('ZADD', D, a.due, a.member) else redis.call('ZREM', D, a.member) end
return { 'kept' }
