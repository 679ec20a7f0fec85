local K, D, C = unpack(KEYS)
local a = cjson.decode(ARGV[1])
redis.call('HDEL', K, a.id)
redis.call('ZREM', D, a.member)
if redis.call('EXISTS', K) == 0 then redis.call('SREM', C, a.tenant) end
return { 'done' }
