
local t = topic()
if not t then return { 'absent' } end
if t.hidden == '1' then return { 'deleted' } end
if over(t) then return { 'over' } end
history(t)

local tail = num(t.tail)
local function answer(word)
    return { word, t.epoch, t.tail, t.closed }
end
if t.json ~= '1' then return answer('type') end

-- The number of each, and which of them are yet to be written: the same event may come twice in one list.
local numbers, places, here = { 'fresh', t.epoch, t.tail, t.closed, t.tail }, {}, {}
for i = 2, #ARGV, 3 do
    local name, content = ARGV[i], ARGV[i + 1]
    local known = here[name] or redis.call('HGET', N, name)
    if known then
        if string.sub(known, 1, 16) ~= content then return answer('reused') end
        numbers[#numbers + 1] = string.sub(known, 17)
    else
        places[#places + 1] = i + 2
        local number = str(tail + #places)
        here[name] = content .. number
        numbers[#numbers + 1] = number
    end
end
if #places == 0 then
    -- What is acknowledged once more has to be as safe as when it was new: what waits for replicas waits for a write.
    if a.wait then redis.call('HSET', T, 'epoch', t.epoch) end
    return numbers
end
if t.closed == '1' then return answer('closed') end
if tail + #places > a.most then return answer('full') end

-- From here on nothing is refused. Whoever brings names takes as many away of events that are gone, so that they do not pile up.
if num(t.first) > num(t.fork_at) then
    local last
    for _, entry in ipairs(redis.call('XRANGE', O, '-', t.first, 'COUNT', math.max(#places, a.slice))) do
        if num(entry[2][2]) > a.over then break end
        redis.call('HDEL', N, entry[2][4])
        last = num(string.match(entry[1], '^%d+'))
    end
    if last then redis.call('XTRIM', O, 'MINID', '=', str(last + 1) .. '-0') end
end
local told = write(t, places)
for i, place in ipairs(places) do
    local name, number = ARGV[place - 2], str(tail + i)
    redis.call('HSET', N, name, ARGV[place - 1] .. number)
    redis.call('XADD', O, number .. '-0', 't', t.written, 'n', name)
end
trim(t)
save(t)
tell(t, tail, #places, told)
numbers[3] = t.tail
return numbers
