
-- Writes the bodies that are at some places of ARGV, and returns what is told of them.
local function write(t, places)
    local tail, bytes, sum, told, size = num(t.tail), num(t.bytes), num(t.sum), {}, 0
    -- Whatever the clock does, times do not go back within a topic: a search for one relies on it.
    t.written, t.touched = str(math.max(num(t.written), a.now)), str(math.max(num(t.touched), a.now))
    for _, place in ipairs(places) do
        local body = ARGV[place]
        tail = tail + 1
        -- With how many bytes all have that came before, so that what some weigh is known without reading them.
        redis.call('XADD', E, str(tail) .. '-0', 't', t.written, 'd', body, 's', str(sum))
        bytes, sum, size = bytes + #body, sum + #body, size + #body
        if size <= a.carried then
            told[#told + 1] = str(#body) .. ':' .. body
        end
    end
    t.tail, t.bytes, t.sum = str(tail), str(bytes), str(sum)
    return size <= a.carried and table.concat(told) or nil
end

-- Takes away what is beyond a topic's retention, a slice of it at most. Tells whether there is more to take.
local function trim(t)
    if not (t.age or t.keep_bytes or t.keep_events) then
        return false
    end
    local first, tail, bytes = num(t.first), num(t.tail), num(t.bytes)
    local gone, looked, more = first, 0, true
    while gone - first < a.slice and looked < a.slice_bytes do
        local entry = gone < tail and redis.call('XRANGE', E, str(gone + 1), str(gone + 1), 'COUNT', 1)[1]
        if not entry then
            more = false
            break
        end
        local at, size = num(entry[2][2]), #entry[2][4]
        local old = t.age and at + num(t.age) <= a.now
        local beyond = (t.keep_bytes and bytes > num(t.keep_bytes)) or (t.keep_events and tail - gone > num(t.keep_events))
        if not (old or beyond) then
            more = false
            break
        end
        gone, bytes, looked = gone + 1, bytes - size, looked + size
    end
    if gone > first then
        redis.call('XTRIM', E, 'MINID', '=', str(gone + 1) .. '-0')
        t.first, t.bytes = str(gone), str(bytes)
    end
    return more
end

local function save(t)
    redis.call('HSET', T, 'first', t.first, 'tail', t.tail, 'bytes', t.bytes, 'sum', t.sum, 'written', t.written, 'touched', t.touched,
        'closed', t.closed)
end
