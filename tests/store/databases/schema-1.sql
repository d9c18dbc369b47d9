BEGIN TRANSACTION;
CREATE TABLE _counters (
    run INTEGER NOT NULL,
    name TEXT NOT NULL,
    value INTEGER NOT NULL,
    PRIMARY KEY (run, name)
) WITHOUT ROWID;
INSERT INTO "_counters" VALUES(1,'bytes',951);
INSERT INTO "_counters" VALUES(1,'item.oldshop.new',12);
INSERT INTO "_counters" VALUES(1,'item.part.new',12);
INSERT INTO "_counters" VALUES(1,'item.product.new',12);
INSERT INTO "_counters" VALUES(1,'item.quote.new',12);
INSERT INTO "_counters" VALUES(1,'items',48);
INSERT INTO "_counters" VALUES(1,'links',12);
INSERT INTO "_counters" VALUES(1,'pages',13);
INSERT INTO "_counters" VALUES(1,'parsed',13);
INSERT INTO "_counters" VALUES(1,'queued',0);
INSERT INTO "_counters" VALUES(1,'sends',14);
INSERT INTO "_counters" VALUES(1,'taken',0);
INSERT INTO "_counters" VALUES(2,'bytes',1000);
INSERT INTO "_counters" VALUES(2,'failed',21);
INSERT INTO "_counters" VALUES(2,'failed.callback',1);
INSERT INTO "_counters" VALUES(2,'failed.gone',1);
INSERT INTO "_counters" VALUES(2,'failed.http',20);
INSERT INTO "_counters" VALUES(2,'item.oldshop.new',11);
INSERT INTO "_counters" VALUES(2,'item.part.same',11);
INSERT INTO "_counters" VALUES(2,'item.product.same',10);
INSERT INTO "_counters" VALUES(2,'item.quote.new',11);
INSERT INTO "_counters" VALUES(2,'items',43);
INSERT INTO "_counters" VALUES(2,'links',38);
INSERT INTO "_counters" VALUES(2,'pages',12);
INSERT INTO "_counters" VALUES(2,'parsed',13);
INSERT INTO "_counters" VALUES(2,'queued',6);
INSERT INTO "_counters" VALUES(2,'rejected',1);
INSERT INTO "_counters" VALUES(2,'retries',1);
INSERT INTO "_counters" VALUES(2,'sends',35);
INSERT INTO "_counters" VALUES(2,'taken',0);
INSERT INTO "_counters" VALUES(3,'bytes',468);
INSERT INTO "_counters" VALUES(3,'item.oldshop.new',4);
INSERT INTO "_counters" VALUES(3,'item.part.same',4);
INSERT INTO "_counters" VALUES(3,'item.product.same',4);
INSERT INTO "_counters" VALUES(3,'item.quote.new',4);
INSERT INTO "_counters" VALUES(3,'items',16);
INSERT INTO "_counters" VALUES(3,'links',12);
INSERT INTO "_counters" VALUES(3,'pages',5);
INSERT INTO "_counters" VALUES(3,'parsed',5);
INSERT INTO "_counters" VALUES(3,'queued',8);
INSERT INTO "_counters" VALUES(3,'sends',5);
INSERT INTO "_counters" VALUES(3,'taken',4);
CREATE TABLE _domains (               -- politeness state, across runs
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    used_until REAL NOT NULL DEFAULT 0,
    not_before REAL NOT NULL DEFAULT 0,
    crawl_delay REAL
);
INSERT INTO "_domains" VALUES(1,'shop.test',1767225670.0,1767225636.4,1.0);
INSERT INTO "_domains" VALUES(2,'closed.test',1.76722564450000023837e+09,1.76722564580000019067e+09,1.0);
CREATE TABLE _errors (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    request INTEGER,
    kind TEXT NOT NULL,
    message TEXT NOT NULL,
    place TEXT NOT NULL,              -- file:line in callback
    detail TEXT NOT NULL,
    at REAL NOT NULL
);
INSERT INTO "_errors" VALUES(1,2,18,'callback','ValueError: not this one','tests/oldshop.py:67 in parse_product','tests/oldshop.py:67 in parse_product
    raise ValueError("not this one")',1767225623.7);
CREATE TABLE _origins (               -- robots.txt, across runs
    origin TEXT PRIMARY KEY,
    domain INTEGER NOT NULL REFERENCES _domains (id),
    robots TEXT,
    status INTEGER,
    expires REAL NOT NULL
) WITHOUT ROWID;
INSERT INTO "_origins" VALUES('https://closed.test:443',2,'User-agent: *
Crawl-delay: 1
',200,1767312018.8);
INSERT INTO "_origins" VALUES('https://shop.test:443',1,'User-agent: *
Crawl-delay: 1
',200,1767312000.3);
CREATE TABLE _pages (
    request INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    url TEXT NOT NULL,
    status INTEGER NOT NULL,
    headers TEXT NOT NULL,
    body BLOB NOT NULL
);
CREATE TABLE _queues (                -- a domain's queue in one run; ready_at doubles as its lease
    run INTEGER NOT NULL REFERENCES _runs (id),
    domain INTEGER NOT NULL REFERENCES _domains (id),
    epoch INTEGER NOT NULL DEFAULT 0,
    owner TEXT,
    ready_at REAL,                    -- may be claimed from then on; NULL: nothing queued, or parked
    taken INTEGER NOT NULL DEFAULT 0,
    ok INTEGER NOT NULL DEFAULT 0,
    parked TEXT,
    PRIMARY KEY (run, domain)
) WITHOUT ROWID;
INSERT INTO "_queues" VALUES(1,1,2,NULL,NULL,0,13,NULL);
INSERT INTO "_queues" VALUES(2,1,2,NULL,NULL,0,12,NULL);
INSERT INTO "_queues" VALUES(2,2,2,NULL,NULL,0,0,'HTTP 403 20 times in a row');
INSERT INTO "_queues" VALUES(3,1,1,'3:7f734a45d810',1767225670.0,4,5,NULL);
CREATE TABLE _rejected (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    request INTEGER NOT NULL,
    "table" TEXT NOT NULL,
    reason TEXT NOT NULL,
    item TEXT NOT NULL,
    place TEXT NOT NULL
);
INSERT INTO "_rejected" VALUES(1,2,20,'product','price: Decimal expected, not nan','Product Product(sku=''sku-5'', name=''5 chair'', price=nan, stars=None)','tests/oldshop.py:69');
CREATE TABLE _requests (
    id INTEGER PRIMARY KEY,           -- order of arrival
    run INTEGER NOT NULL REFERENCES _runs (id),
    domain INTEGER NOT NULL REFERENCES _domains (id),
    fingerprint BLOB NOT NULL,
    url TEXT NOT NULL,
    state INTEGER NOT NULL DEFAULT 0, -- 0 queued, 1 done, 2 failed, 3 skipped
    priority INTEGER NOT NULL DEFAULT 0,
    depth INTEGER NOT NULL DEFAULT 0,
    not_before REAL NOT NULL DEFAULT 0,
    taken_epoch INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    hops INTEGER NOT NULL DEFAULT 0,
    parent INTEGER,
    seed TEXT NOT NULL DEFAULT '',
    callback TEXT NOT NULL,
    options TEXT,                     -- JSON of what differs from the defaults
    body BLOB,
    status INTEGER,
    kind TEXT,                        -- why failed, skipped or retried
    why TEXT,
    ended REAL
);
INSERT INTO "_requests" VALUES(1,1,1,X'797ABF99F5E98F252503104B51D5459B','https://shop.test/',1,0,0,0.0,1,0,0,NULL,'shop.test:443','parse',NULL,NULL,200,NULL,NULL,1767225601.6);
INSERT INTO "_requests" VALUES(2,1,1,X'BB3372A73783BBC2D5702D8677DD2554','https://shop.test/p/0',1,0,1,0.0,1,0,0,1,'shop.test:443','parse_product',NULL,NULL,200,NULL,NULL,1767225602.9);
INSERT INTO "_requests" VALUES(3,1,1,X'350A07256C86E31B4225591AEF91D45E','https://shop.test/p/1',1,0,1,0.0,1,0,0,1,'shop.test:443','parse_product',NULL,NULL,200,NULL,NULL,1767225604.2);
INSERT INTO "_requests" VALUES(4,1,1,X'D8CBC57555D8BD04A0B9CE5085120A06','https://shop.test/p/2',1,0,1,0.0,1,0,0,1,'shop.test:443','parse_product',NULL,NULL,200,NULL,NULL,1767225605.5);
INSERT INTO "_requests" VALUES(5,1,1,X'E5E4DBDE707E51F5D4199667DDC0AD6D','https://shop.test/p/3',1,0,1,0.0,1,0,0,1,'shop.test:443','parse_product',NULL,NULL,200,NULL,NULL,1767225606.8);
INSERT INTO "_requests" VALUES(6,1,1,X'E235E7C9FD297154DA526C2694D0FD1D','https://shop.test/p/4',1,0,1,0.0,1,0,0,1,'shop.test:443','parse_product',NULL,NULL,200,NULL,NULL,1.76722560810000014304e+09);
INSERT INTO "_requests" VALUES(7,1,1,X'DBDD53273BA5A0C1E23412D7E4B4B870','https://shop.test/p/5',1,0,1,0.0,1,0,0,1,'shop.test:443','parse_product',NULL,NULL,200,NULL,NULL,1767225609.4);
INSERT INTO "_requests" VALUES(8,1,1,X'12399991A290551066F99EB2D150D479','https://shop.test/p/6',1,0,1,0.0,1,0,0,1,'shop.test:443','parse_product',NULL,NULL,200,NULL,NULL,1767225610.7);
INSERT INTO "_requests" VALUES(9,1,1,X'F25B384BFA119516C0EFB71941FF90CC','https://shop.test/p/7',1,0,1,0.0,1,0,0,1,'shop.test:443','parse_product',NULL,NULL,200,NULL,NULL,1767225612.0);
INSERT INTO "_requests" VALUES(10,1,1,X'A42747F11B017EEB1EB8A68D7FB90C04','https://shop.test/p/8',1,0,1,0.0,1,0,0,1,'shop.test:443','parse_product',NULL,NULL,200,NULL,NULL,1767225613.3);
INSERT INTO "_requests" VALUES(11,1,1,X'31462725B1669EB4654E5CC1D303E49A','https://shop.test/p/9',1,0,1,0.0,1,0,0,1,'shop.test:443','parse_product',NULL,NULL,200,NULL,NULL,1.76722561460000014308e+09);
INSERT INTO "_requests" VALUES(12,1,1,X'7275E60EBDB96BF9666FA2CD88018C68','https://shop.test/p/10',1,0,1,0.0,1,0,0,1,'shop.test:443','parse_product',NULL,NULL,200,NULL,NULL,1767225615.9);
INSERT INTO "_requests" VALUES(13,1,1,X'9A28C48C012C9C0CC485D1878EA5C3C2','https://shop.test/p/11',1,0,1,0.0,1,0,0,1,'shop.test:443','parse_product',NULL,NULL,200,NULL,NULL,1767225617.2);
INSERT INTO "_requests" VALUES(14,2,1,X'797ABF99F5E98F252503104B51D5459B','https://shop.test/',1,0,0,0.0,1,0,0,NULL,'shop.test:443','parse',NULL,NULL,200,NULL,NULL,1767225618.5);
INSERT INTO "_requests" VALUES(15,2,1,X'BB3372A73783BBC2D5702D8677DD2554','https://shop.test/p/0',1,0,1,0.0,1,0,0,14,'shop.test:443','parse_product',NULL,NULL,200,NULL,NULL,1767225619.8);
INSERT INTO "_requests" VALUES(16,2,1,X'350A07256C86E31B4225591AEF91D45E','https://shop.test/p/1',1,0,1,0.0,1,0,0,14,'shop.test:443','parse_product',NULL,NULL,200,NULL,NULL,1.76722562110000014305e+09);
INSERT INTO "_requests" VALUES(17,2,1,X'D8CBC57555D8BD04A0B9CE5085120A06','https://shop.test/p/2',1,0,1,0.0,1,0,0,14,'shop.test:443','parse_product',NULL,NULL,200,NULL,NULL,1767225622.4);
INSERT INTO "_requests" VALUES(18,2,1,X'E5E4DBDE707E51F5D4199667DDC0AD6D','https://shop.test/p/3',2,0,1,0.0,1,0,0,14,'shop.test:443','parse_product',NULL,NULL,200,'callback','ValueError: not this one',1767225623.7);
INSERT INTO "_requests" VALUES(19,2,1,X'E235E7C9FD297154DA526C2694D0FD1D','https://shop.test/p/4',1,0,1,0.0,1,0,0,14,'shop.test:443','parse_product',NULL,NULL,200,NULL,NULL,1767225625.0);
INSERT INTO "_requests" VALUES(20,2,1,X'DBDD53273BA5A0C1E23412D7E4B4B870','https://shop.test/p/5',1,0,1,0.0,1,0,0,14,'shop.test:443','parse_product',NULL,NULL,200,NULL,NULL,1.76722562630000019079e+09);
INSERT INTO "_requests" VALUES(21,2,1,X'12399991A290551066F99EB2D150D479','https://shop.test/p/6',1,0,1,0.0,1,0,0,14,'shop.test:443','parse_product',NULL,NULL,200,NULL,NULL,1.76722562760000014309e+09);
INSERT INTO "_requests" VALUES(22,2,1,X'F25B384BFA119516C0EFB71941FF90CC','https://shop.test/p/7',1,0,1,0.0,1,0,0,14,'shop.test:443','parse_product',NULL,NULL,200,NULL,NULL,1767225628.9);
INSERT INTO "_requests" VALUES(23,2,1,X'A42747F11B017EEB1EB8A68D7FB90C04','https://shop.test/p/8',1,0,1,0.0,1,0,0,14,'shop.test:443','parse_product',NULL,NULL,200,NULL,NULL,1767225630.2);
INSERT INTO "_requests" VALUES(24,2,1,X'31462725B1669EB4654E5CC1D303E49A','https://shop.test/p/9',1,0,1,0.0,1,0,0,14,'shop.test:443','parse_product',NULL,NULL,200,NULL,NULL,1767225631.5);
INSERT INTO "_requests" VALUES(25,2,1,X'7275E60EBDB96BF9666FA2CD88018C68','https://shop.test/p/10',1,0,1,0.0,1,0,0,14,'shop.test:443','parse_product',NULL,NULL,200,NULL,NULL,1.76722563280000019071e+09);
INSERT INTO "_requests" VALUES(26,2,1,X'9A28C48C012C9C0CC485D1878EA5C3C2','https://shop.test/p/11',1,0,1,0.0,1,0,0,14,'shop.test:443','parse_product',NULL,NULL,200,NULL,NULL,1.76722563410000014301e+09);
INSERT INTO "_requests" VALUES(27,2,2,X'5F13465B7FDA426B08C3162BC87E0746','https://closed.test/0',2,0,1,0.0,1,0,0,14,'shop.test:443','parse_product',NULL,NULL,403,'http','HTTP 403',1.76722562010000014301e+09);
INSERT INTO "_requests" VALUES(28,2,2,X'60B1EEDD8AA1B275FF47358CF0B913D5','https://closed.test/1',2,0,1,0.0,1,0,0,14,'shop.test:443','parse_product',NULL,NULL,403,'http','HTTP 403',1767225621.4);
INSERT INTO "_requests" VALUES(29,2,2,X'544F644B8712EA5D4175C214CF00561D','https://closed.test/2',2,0,1,0.0,1,0,0,14,'shop.test:443','parse_product',NULL,NULL,403,'http','HTTP 403',1767225622.7);
INSERT INTO "_requests" VALUES(30,2,2,X'D83767232C57594F733B01B09E87C266','https://closed.test/3',2,0,1,0.0,1,0,0,14,'shop.test:443','parse_product',NULL,NULL,403,'http','HTTP 403',1767225624.0);
INSERT INTO "_requests" VALUES(31,2,2,X'E1B46422F5A2F545CB5D94ECF094F696','https://closed.test/4',2,0,1,0.0,1,0,0,14,'shop.test:443','parse_product',NULL,NULL,403,'http','HTTP 403',1.76722562530000019075e+09);
INSERT INTO "_requests" VALUES(32,2,2,X'9B869F3028D415AF0A9B6E52FE0314C9','https://closed.test/5',2,0,1,0.0,1,0,0,14,'shop.test:443','parse_product',NULL,NULL,403,'http','HTTP 403',1.76722562660000014306e+09);
INSERT INTO "_requests" VALUES(33,2,2,X'4C764E205175A1E9B44E714FD3335822','https://closed.test/6',2,0,1,0.0,1,0,0,14,'shop.test:443','parse_product',NULL,NULL,403,'http','HTTP 403',1767225627.9);
INSERT INTO "_requests" VALUES(34,2,2,X'70909BFBC53D2360AFA23173F34DE24D','https://closed.test/7',2,0,1,0.0,1,0,0,14,'shop.test:443','parse_product',NULL,NULL,403,'http','HTTP 403',1767225629.2);
INSERT INTO "_requests" VALUES(35,2,2,X'833B598DB9AE42DDE4CC0ACED7313B84','https://closed.test/8',2,0,1,0.0,1,0,0,14,'shop.test:443','parse_product',NULL,NULL,403,'http','HTTP 403',1767225630.5);
INSERT INTO "_requests" VALUES(36,2,2,X'DA95571F5C58587CE91EC9C393FC2F25','https://closed.test/9',2,0,1,0.0,1,0,0,14,'shop.test:443','parse_product',NULL,NULL,403,'http','HTTP 403',1.76722563180000019067e+09);
INSERT INTO "_requests" VALUES(37,2,2,X'C3960B23A3AB9027B2FB052DE3CAB785','https://closed.test/10',2,0,1,0.0,1,0,0,14,'shop.test:443','parse_product',NULL,NULL,403,'http','HTTP 403',1.76722563310000014297e+09);
INSERT INTO "_requests" VALUES(38,2,2,X'9FC18058CD5D8A30B39C15FE4B47E6A7','https://closed.test/11',2,0,1,0.0,1,0,0,14,'shop.test:443','parse_product',NULL,NULL,403,'http','HTTP 403',1767225634.4);
INSERT INTO "_requests" VALUES(39,2,2,X'C0F819B94619DA23C4A438101892D0E9','https://closed.test/12',2,0,1,0.0,1,0,0,14,'shop.test:443','parse_product',NULL,NULL,403,'http','HTTP 403',1767225635.7);
INSERT INTO "_requests" VALUES(40,2,2,X'882073DBD29409A891F3CAD72E57068D','https://closed.test/13',2,0,1,0.0,1,0,0,14,'shop.test:443','parse_product',NULL,NULL,403,'http','HTTP 403',1767225637.0);
INSERT INTO "_requests" VALUES(41,2,2,X'19BF51C725DDE391EDC99F7ABF36DE74','https://closed.test/14',2,0,1,0.0,1,0,0,14,'shop.test:443','parse_product',NULL,NULL,403,'http','HTTP 403',1.76722563830000019072e+09);
INSERT INTO "_requests" VALUES(42,2,2,X'872D832FD6B7DE84F1526779AF7654A2','https://closed.test/15',2,0,1,0.0,1,0,0,14,'shop.test:443','parse_product',NULL,NULL,403,'http','HTTP 403',1.76722563960000014302e+09);
INSERT INTO "_requests" VALUES(43,2,2,X'D647D661446DA59C1CAC7653D8DA2D34','https://closed.test/16',2,0,1,0.0,1,0,0,14,'shop.test:443','parse_product',NULL,NULL,403,'http','HTTP 403',1767225640.9);
INSERT INTO "_requests" VALUES(44,2,2,X'A888370D09A09F3BDBC29638399938C3','https://closed.test/17',2,0,1,0.0,1,0,0,14,'shop.test:443','parse_product',NULL,NULL,403,'http','HTTP 403',1767225642.2);
INSERT INTO "_requests" VALUES(45,2,2,X'BF53B591DE9EBD751B0E285FF32E9657','https://closed.test/18',2,0,1,0.0,1,0,0,14,'shop.test:443','parse_product',NULL,NULL,403,'http','HTTP 403',1.76722564350000023837e+09);
INSERT INTO "_requests" VALUES(46,2,2,X'39AA5EFDCC0723CEC4711C7FE22C05AC','https://closed.test/19',0,0,1,1.76722564480000019068e+09,0,0,0,14,'shop.test:443','parse_product',NULL,NULL,403,'http','HTTP 403',NULL);
INSERT INTO "_requests" VALUES(47,2,2,X'8D34B48ACF4AACCE1F0BD3D70530C613','https://closed.test/20',0,0,1,0.0,1,0,0,14,'shop.test:443','parse_product',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "_requests" VALUES(48,2,2,X'AB1FF388A1538BEEC2DB92178DDF7853','https://closed.test/21',0,0,1,0.0,1,0,0,14,'shop.test:443','parse_product',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "_requests" VALUES(49,2,2,X'420FEC30410BBD1FFBA4C7BE36A6CB8B','https://closed.test/22',0,0,1,0.0,1,0,0,14,'shop.test:443','parse_product',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "_requests" VALUES(50,2,2,X'E3468BA7BBAEFA20C84E81769A3F818F','https://closed.test/23',0,0,1,0.0,1,0,0,14,'shop.test:443','parse_product',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "_requests" VALUES(51,2,2,X'F4B7A2756FE0708DC048FF1CB2D35F44','https://closed.test/24',0,0,1,0.0,1,0,0,14,'shop.test:443','parse_product',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "_requests" VALUES(52,2,1,X'57A87C7D912A35FAA790E5E21E6CEAB4','https://shop.test/missing',2,0,1,0.0,1,0,0,14,'shop.test:443','parse_product',NULL,NULL,404,'http','HTTP 404',1767225635.4);
INSERT INTO "_requests" VALUES(53,3,1,X'797ABF99F5E98F252503104B51D5459B','https://shop.test/',1,0,0,0.0,1,0,0,NULL,'shop.test:443','parse',NULL,NULL,200,NULL,NULL,1767225636.7);
INSERT INTO "_requests" VALUES(54,3,1,X'BB3372A73783BBC2D5702D8677DD2554','https://shop.test/p/0',1,0,1,0.0,1,0,0,53,'shop.test:443','parse_product',NULL,NULL,200,NULL,NULL,1767225638.0);
INSERT INTO "_requests" VALUES(55,3,1,X'350A07256C86E31B4225591AEF91D45E','https://shop.test/p/1',1,0,1,0.0,1,0,0,53,'shop.test:443','parse_product',NULL,NULL,200,NULL,NULL,1.76722563930000019075e+09);
INSERT INTO "_requests" VALUES(56,3,1,X'D8CBC57555D8BD04A0B9CE5085120A06','https://shop.test/p/2',1,0,1,0.0,1,0,0,53,'shop.test:443','parse_product',NULL,NULL,200,NULL,NULL,1.76722564060000014306e+09);
INSERT INTO "_requests" VALUES(57,3,1,X'E5E4DBDE707E51F5D4199667DDC0AD6D','https://shop.test/p/3',1,0,1,0.0,1,0,0,53,'shop.test:443','parse_product',NULL,NULL,200,NULL,NULL,1767225641.9);
INSERT INTO "_requests" VALUES(58,3,1,X'E235E7C9FD297154DA526C2694D0FD1D','https://shop.test/p/4',0,0,1,0.0,1,0,0,53,'shop.test:443','parse_product',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "_requests" VALUES(59,3,1,X'DBDD53273BA5A0C1E23412D7E4B4B870','https://shop.test/p/5',0,0,1,0.0,1,0,0,53,'shop.test:443','parse_product',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "_requests" VALUES(60,3,1,X'12399991A290551066F99EB2D150D479','https://shop.test/p/6',0,0,1,0.0,1,0,0,53,'shop.test:443','parse_product',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "_requests" VALUES(61,3,1,X'F25B384BFA119516C0EFB71941FF90CC','https://shop.test/p/7',0,0,1,0.0,1,0,0,53,'shop.test:443','parse_product',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "_requests" VALUES(62,3,1,X'A42747F11B017EEB1EB8A68D7FB90C04','https://shop.test/p/8',0,0,1,0.0,0,0,0,53,'shop.test:443','parse_product',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "_requests" VALUES(63,3,1,X'31462725B1669EB4654E5CC1D303E49A','https://shop.test/p/9',0,0,1,0.0,0,0,0,53,'shop.test:443','parse_product',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "_requests" VALUES(64,3,1,X'7275E60EBDB96BF9666FA2CD88018C68','https://shop.test/p/10',0,0,1,0.0,0,0,0,53,'shop.test:443','parse_product',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "_requests" VALUES(65,3,1,X'9A28C48C012C9C0CC485D1878EA5C3C2','https://shop.test/p/11',0,0,1,0.0,0,0,0,53,'shop.test:443','parse_product',NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE _runs (
    id INTEGER PRIMARY KEY,
    spider TEXT NOT NULL,
    target TEXT NOT NULL,             -- as typed: a resume loads it again
    series TEXT NOT NULL,             -- spider, arguments and start override: what `diff` compares
    options TEXT NOT NULL,            -- JSON: arguments, start override, settings given for this run
    started REAL NOT NULL,            -- unix seconds, as all times
    ended REAL,
    state TEXT NOT NULL,              -- running, stopped (work is left), finished, complete
    reason TEXT,                      -- why stopped, or why not complete
    seeded INTEGER NOT NULL DEFAULT 0,
    resumed INTEGER NOT NULL DEFAULT 0
);
INSERT INTO "_runs" VALUES(1,'oldshop','oldshop:OldShop','["oldshop", {}, []]','{"arguments":{},"settings":{},"start":[]}',1767225600.0,1767225617.2,'complete',NULL,1,0);
INSERT INTO "_runs" VALUES(2,'oldshop','oldshop:OldShop','["oldshop", {"trouble": true}, []]','{"arguments":{"trouble":true},"settings":{},"start":[]}',1767225600.0,1.76722564480000019068e+09,'stopped','parked: closed.test',1,0);
INSERT INTO "_runs" VALUES(3,'oldshop','oldshop:OldShop','["oldshop", {}, []]','{"arguments":{},"settings":{},"start":[]}',1767225600.0,NULL,'running',NULL,1,0);
CREATE TABLE _selectors (             -- which selectors of the spider matched, by place in its code
    run INTEGER NOT NULL,
    domain INTEGER NOT NULL,
    place TEXT NOT NULL,              -- file:line
    call TEXT NOT NULL,               -- css, text, follow_all, …
    selector TEXT NOT NULL,
    pages INTEGER NOT NULL,
    matched INTEGER NOT NULL,         -- pages on which it matched
    first_miss TEXT,                  -- URL of the first page on which it did not
    meant TEXT,                       -- a selector like it that matches there, and how often
    meant_matches INTEGER NOT NULL,
    PRIMARY KEY (run, domain, place, call, selector)
) WITHOUT ROWID;
INSERT INTO "_selectors" VALUES(1,1,'tests/oldshop.py:59','follow_all','a',1,1,NULL,NULL,0);
INSERT INTO "_selectors" VALUES(1,1,'tests/oldshop.py:65','number','h1',12,12,NULL,NULL,0);
INSERT INTO "_selectors" VALUES(1,1,'tests/oldshop.py:68','decimal','b',12,12,NULL,NULL,0);
INSERT INTO "_selectors" VALUES(1,1,'tests/oldshop.py:69','text','h1',12,12,NULL,NULL,0);
INSERT INTO "_selectors" VALUES(1,1,'tests/oldshop.py:70','text','q',12,12,NULL,NULL,0);
INSERT INTO "_selectors" VALUES(1,1,'tests/oldshop.py:72','text','h1',12,12,NULL,NULL,0);
INSERT INTO "_selectors" VALUES(2,1,'tests/oldshop.py:59','follow_all','a',1,1,NULL,NULL,0);
INSERT INTO "_selectors" VALUES(2,1,'tests/oldshop.py:65','number','h1',12,12,NULL,NULL,0);
INSERT INTO "_selectors" VALUES(2,1,'tests/oldshop.py:68','decimal','b',10,10,NULL,NULL,0);
INSERT INTO "_selectors" VALUES(2,1,'tests/oldshop.py:69','text','h1',11,11,NULL,NULL,0);
INSERT INTO "_selectors" VALUES(2,1,'tests/oldshop.py:70','text','q',11,11,NULL,NULL,0);
INSERT INTO "_selectors" VALUES(2,1,'tests/oldshop.py:72','text','h1',11,11,NULL,NULL,0);
CREATE TABLE _sends (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    request INTEGER NOT NULL,
    domain INTEGER NOT NULL,
    kind TEXT NOT NULL,               -- page, redirect, robots, sub, sitemap
    url TEXT,                         -- where it is not the request's own
    sent REAL NOT NULL,
    ended REAL NOT NULL,
    status INTEGER,
    bytes INTEGER NOT NULL
);
INSERT INTO "_sends" VALUES(1,1,1,1,'robots','https://shop.test/robots.txt',1767225600.0,1767225600.3,200,29);
INSERT INTO "_sends" VALUES(2,1,1,1,'page',NULL,1767225601.3,1767225601.6,200,244);
INSERT INTO "_sends" VALUES(3,1,2,1,'page',NULL,1767225602.6,1767225602.9,200,56);
INSERT INTO "_sends" VALUES(4,1,3,1,'page',NULL,1767225603.9,1767225604.2,200,56);
INSERT INTO "_sends" VALUES(5,1,4,1,'page',NULL,1767225605.2,1767225605.5,200,56);
INSERT INTO "_sends" VALUES(6,1,5,1,'page',NULL,1767225606.5,1767225606.8,200,56);
INSERT INTO "_sends" VALUES(7,1,6,1,'page',NULL,1767225607.8,1.76722560810000014304e+09,200,56);
INSERT INTO "_sends" VALUES(8,1,7,1,'page',NULL,1.76722560910000014303e+09,1767225609.4,200,56);
INSERT INTO "_sends" VALUES(9,1,8,1,'page',NULL,1767225610.4,1767225610.7,200,56);
INSERT INTO "_sends" VALUES(10,1,9,1,'page',NULL,1767225611.7,1767225612.0,200,56);
INSERT INTO "_sends" VALUES(11,1,10,1,'page',NULL,1767225613.0,1767225613.3,200,56);
INSERT INTO "_sends" VALUES(12,1,11,1,'page',NULL,1767225614.3,1.76722561460000014308e+09,200,56);
INSERT INTO "_sends" VALUES(13,1,12,1,'page',NULL,1.76722561560000014308e+09,1767225615.9,200,59);
INSERT INTO "_sends" VALUES(14,1,13,1,'page',NULL,1767225616.9,1767225617.2,200,59);
INSERT INTO "_sends" VALUES(15,2,14,1,'page',NULL,1767225618.2,1767225618.5,200,244);
INSERT INTO "_sends" VALUES(16,2,15,1,'page',NULL,1767225619.5,1767225619.8,200,56);
INSERT INTO "_sends" VALUES(17,2,27,2,'robots','https://closed.test/robots.txt',1767225618.5,1767225618.8,200,29);
INSERT INTO "_sends" VALUES(18,2,27,2,'page',NULL,1767225619.8,1.76722562010000014301e+09,403,2);
INSERT INTO "_sends" VALUES(19,2,16,1,'page',NULL,1767225620.8,1.76722562110000014305e+09,200,56);
INSERT INTO "_sends" VALUES(20,2,28,2,'page',NULL,1.76722562110000014305e+09,1767225621.4,403,2);
INSERT INTO "_sends" VALUES(21,2,17,1,'page',NULL,1.76722562210000014304e+09,1767225622.4,200,56);
INSERT INTO "_sends" VALUES(22,2,29,2,'page',NULL,1767225622.4,1767225622.7,403,2);
INSERT INTO "_sends" VALUES(23,2,18,1,'page',NULL,1767225623.4,1767225623.7,200,56);
INSERT INTO "_sends" VALUES(24,2,30,2,'page',NULL,1767225623.7,1767225624.0,403,2);
INSERT INTO "_sends" VALUES(25,2,19,1,'page',NULL,1767225624.7,1767225625.0,200,56);
INSERT INTO "_sends" VALUES(26,2,31,2,'page',NULL,1767225625.0,1.76722562530000019075e+09,403,2);
INSERT INTO "_sends" VALUES(27,2,20,1,'page',NULL,1767225626.0,1.76722562630000019079e+09,200,56);
INSERT INTO "_sends" VALUES(28,2,32,2,'page',NULL,1.76722562630000019079e+09,1.76722562660000014306e+09,403,2);
INSERT INTO "_sends" VALUES(29,2,21,1,'page',NULL,1.76722562730000019078e+09,1.76722562760000014309e+09,200,56);
INSERT INTO "_sends" VALUES(30,2,33,2,'page',NULL,1.76722562760000014309e+09,1767225627.9,403,2);
INSERT INTO "_sends" VALUES(31,2,22,1,'page',NULL,1.76722562860000014309e+09,1767225628.9,200,56);
INSERT INTO "_sends" VALUES(32,2,34,2,'page',NULL,1767225628.9,1767225629.2,403,2);
INSERT INTO "_sends" VALUES(33,2,23,1,'page',NULL,1767225629.9,1767225630.2,200,56);
INSERT INTO "_sends" VALUES(34,2,35,2,'page',NULL,1767225630.2,1767225630.5,403,2);
INSERT INTO "_sends" VALUES(35,2,24,1,'page',NULL,1767225631.2,1767225631.5,200,56);
INSERT INTO "_sends" VALUES(36,2,36,2,'page',NULL,1767225631.5,1.76722563180000019067e+09,403,2);
INSERT INTO "_sends" VALUES(37,2,25,1,'page',NULL,1767225632.5,1.76722563280000019071e+09,200,59);
INSERT INTO "_sends" VALUES(38,2,37,2,'page',NULL,1.76722563280000019071e+09,1.76722563310000014297e+09,403,2);
INSERT INTO "_sends" VALUES(39,2,26,1,'page',NULL,1.76722563380000019074e+09,1.76722563410000014301e+09,200,59);
INSERT INTO "_sends" VALUES(40,2,38,2,'page',NULL,1.76722563410000014301e+09,1767225634.4,403,2);
INSERT INTO "_sends" VALUES(41,2,52,1,'page',NULL,1.76722563510000014305e+09,1767225635.4,404,9);
INSERT INTO "_sends" VALUES(42,2,39,2,'page',NULL,1767225635.4,1767225635.7,403,2);
INSERT INTO "_sends" VALUES(43,2,40,2,'page',NULL,1767225636.7,1767225637.0,403,2);
INSERT INTO "_sends" VALUES(44,2,41,2,'page',NULL,1767225638.0,1.76722563830000019072e+09,403,2);
INSERT INTO "_sends" VALUES(45,2,42,2,'page',NULL,1.76722563930000019075e+09,1.76722563960000014302e+09,403,2);
INSERT INTO "_sends" VALUES(46,2,43,2,'page',NULL,1.76722564060000014306e+09,1767225640.9,403,2);
INSERT INTO "_sends" VALUES(47,2,44,2,'page',NULL,1767225641.9,1767225642.2,403,2);
INSERT INTO "_sends" VALUES(48,2,45,2,'page',NULL,1767225643.2,1.76722564350000023837e+09,403,2);
INSERT INTO "_sends" VALUES(49,2,46,2,'page',NULL,1.76722564450000023837e+09,1.76722564480000019068e+09,403,2);
INSERT INTO "_sends" VALUES(50,3,53,1,'page',NULL,1767225636.4,1767225636.7,200,244);
INSERT INTO "_sends" VALUES(51,3,54,1,'page',NULL,1767225637.7,1767225638.0,200,56);
INSERT INTO "_sends" VALUES(52,3,55,1,'page',NULL,1767225639.0,1.76722563930000019075e+09,200,56);
INSERT INTO "_sends" VALUES(53,3,56,1,'page',NULL,1.76722564030000019079e+09,1.76722564060000014306e+09,200,56);
INSERT INTO "_sends" VALUES(54,3,57,1,'page',NULL,1.7672256416000001431e+09,1767225641.9,200,56);
CREATE TABLE "oldshop" ("number" INTEGER, "title" TEXT, "note" BLOB, _url TEXT, _run INTEGER, _at TEXT, _request INTEGER, _ordinal INTEGER, _first_run INTEGER, _changed_run INTEGER, _gone_run INTEGER, UNIQUE (_request, _ordinal));
INSERT INTO "oldshop" VALUES(0,'0 chair',NULL,'https://shop.test/p/0',1,'2026-01-01T00:00:02Z',2,4,1,NULL,NULL);
INSERT INTO "oldshop" VALUES(1,'1 chair',NULL,'https://shop.test/p/1',1,'2026-01-01T00:00:04Z',3,4,1,NULL,NULL);
INSERT INTO "oldshop" VALUES(2,'2 chair',NULL,'https://shop.test/p/2',1,'2026-01-01T00:00:05Z',4,4,1,NULL,NULL);
INSERT INTO "oldshop" VALUES(3,'3 chair',NULL,'https://shop.test/p/3',1,'2026-01-01T00:00:06Z',5,4,1,NULL,NULL);
INSERT INTO "oldshop" VALUES(4,'4 chair',NULL,'https://shop.test/p/4',1,'2026-01-01T00:00:08Z',6,4,1,NULL,NULL);
INSERT INTO "oldshop" VALUES(5,'5 chair',NULL,'https://shop.test/p/5',1,'2026-01-01T00:00:09Z',7,4,1,NULL,NULL);
INSERT INTO "oldshop" VALUES(6,'6 chair',NULL,'https://shop.test/p/6',1,'2026-01-01T00:00:10Z',8,4,1,NULL,NULL);
INSERT INTO "oldshop" VALUES(7,'7 chair',NULL,'https://shop.test/p/7',1,'2026-01-01T00:00:12Z',9,4,1,NULL,NULL);
INSERT INTO "oldshop" VALUES(8,'8 chair',NULL,'https://shop.test/p/8',1,'2026-01-01T00:00:13Z',10,4,1,NULL,NULL);
INSERT INTO "oldshop" VALUES(9,'9 chair',NULL,'https://shop.test/p/9',1,'2026-01-01T00:00:14Z',11,4,1,NULL,NULL);
INSERT INTO "oldshop" VALUES(10,'10 chair',NULL,'https://shop.test/p/10',1,'2026-01-01T00:00:15Z',12,4,1,NULL,NULL);
INSERT INTO "oldshop" VALUES(11,'11 chair',NULL,'https://shop.test/p/11',1,'2026-01-01T00:00:17Z',13,4,1,NULL,NULL);
INSERT INTO "oldshop" VALUES(0,'0 chair',NULL,'https://shop.test/p/0',2,'2026-01-01T00:00:19Z',15,4,2,NULL,NULL);
INSERT INTO "oldshop" VALUES(1,'1 chair',NULL,'https://shop.test/p/1',2,'2026-01-01T00:00:21Z',16,4,2,NULL,NULL);
INSERT INTO "oldshop" VALUES(2,'2 chair',NULL,'https://shop.test/p/2',2,'2026-01-01T00:00:22Z',17,4,2,NULL,NULL);
INSERT INTO "oldshop" VALUES(4,'4 chair',NULL,'https://shop.test/p/4',2,'2026-01-01T00:00:25Z',19,4,2,NULL,NULL);
INSERT INTO "oldshop" VALUES(5,'5 chair',NULL,'https://shop.test/p/5',2,'2026-01-01T00:00:26Z',20,4,2,NULL,NULL);
INSERT INTO "oldshop" VALUES(6,'6 chair',NULL,'https://shop.test/p/6',2,'2026-01-01T00:00:27Z',21,4,2,NULL,NULL);
INSERT INTO "oldshop" VALUES(7,'7 chair',NULL,'https://shop.test/p/7',2,'2026-01-01T00:00:28Z',22,4,2,NULL,NULL);
INSERT INTO "oldshop" VALUES(8,'8 chair',NULL,'https://shop.test/p/8',2,'2026-01-01T00:00:30Z',23,4,2,NULL,NULL);
INSERT INTO "oldshop" VALUES(9,'9 chair',NULL,'https://shop.test/p/9',2,'2026-01-01T00:00:31Z',24,4,2,NULL,NULL);
INSERT INTO "oldshop" VALUES(10,'10 chair',NULL,'https://shop.test/p/10',2,'2026-01-01T00:00:32Z',25,4,2,NULL,NULL);
INSERT INTO "oldshop" VALUES(11,'11 chair',NULL,'https://shop.test/p/11',2,'2026-01-01T00:00:34Z',26,4,2,NULL,NULL);
INSERT INTO "oldshop" VALUES(0,'0 chair',NULL,'https://shop.test/p/0',3,'2026-01-01T00:00:38Z',54,4,3,NULL,NULL);
INSERT INTO "oldshop" VALUES(1,'1 chair',NULL,'https://shop.test/p/1',3,'2026-01-01T00:00:39Z',55,4,3,NULL,NULL);
INSERT INTO "oldshop" VALUES(2,'2 chair',NULL,'https://shop.test/p/2',3,'2026-01-01T00:00:40Z',56,4,3,NULL,NULL);
INSERT INTO "oldshop" VALUES(3,'3 chair',NULL,'https://shop.test/p/3',3,'2026-01-01T00:00:41Z',57,4,3,NULL,NULL);
CREATE TABLE "part" ("shop" TEXT NOT NULL, "number" INTEGER NOT NULL, "tags" TEXT, "photo" BLOB, _url TEXT, _run INTEGER, _at TEXT, _request INTEGER, _ordinal INTEGER, _first_run INTEGER, _changed_run INTEGER, _gone_run INTEGER, _filled TEXT, PRIMARY KEY ("shop", "number"));
INSERT INTO "part" VALUES('shop.test',0,'["a", "b"]',NULL,'https://shop.test/p/0',3,'2026-01-01T00:00:38Z',54,3,1,NULL,NULL,NULL);
INSERT INTO "part" VALUES('shop.test',1,'["a", "b"]',X'00FF','https://shop.test/p/1',3,'2026-01-01T00:00:39Z',55,3,1,NULL,NULL,NULL);
INSERT INTO "part" VALUES('shop.test',2,'["a", "b"]',NULL,'https://shop.test/p/2',3,'2026-01-01T00:00:40Z',56,3,1,NULL,NULL,NULL);
INSERT INTO "part" VALUES('shop.test',3,'["a", "b"]',X'00FF','https://shop.test/p/3',3,'2026-01-01T00:00:41Z',57,3,1,NULL,NULL,NULL);
INSERT INTO "part" VALUES('shop.test',4,'["a", "b"]',NULL,'https://shop.test/p/4',2,'2026-01-01T00:00:25Z',19,3,1,NULL,NULL,NULL);
INSERT INTO "part" VALUES('shop.test',5,'["a", "b"]',X'00FF','https://shop.test/p/5',2,'2026-01-01T00:00:26Z',20,3,1,NULL,NULL,NULL);
INSERT INTO "part" VALUES('shop.test',6,'["a", "b"]',NULL,'https://shop.test/p/6',2,'2026-01-01T00:00:27Z',21,3,1,NULL,NULL,NULL);
INSERT INTO "part" VALUES('shop.test',7,'["a", "b"]',X'00FF','https://shop.test/p/7',2,'2026-01-01T00:00:28Z',22,3,1,NULL,NULL,NULL);
INSERT INTO "part" VALUES('shop.test',8,'["a", "b"]',NULL,'https://shop.test/p/8',2,'2026-01-01T00:00:30Z',23,3,1,NULL,NULL,NULL);
INSERT INTO "part" VALUES('shop.test',9,'["a", "b"]',X'00FF','https://shop.test/p/9',2,'2026-01-01T00:00:31Z',24,3,1,NULL,NULL,NULL);
INSERT INTO "part" VALUES('shop.test',10,'["a", "b"]',NULL,'https://shop.test/p/10',2,'2026-01-01T00:00:32Z',25,3,1,NULL,NULL,NULL);
INSERT INTO "part" VALUES('shop.test',11,'["a", "b"]',X'00FF','https://shop.test/p/11',2,'2026-01-01T00:00:34Z',26,3,1,NULL,NULL,NULL);
CREATE TABLE "product" ("sku" TEXT NOT NULL, "name" TEXT, "price" NUMERIC, "stars" REAL, _url TEXT, _run INTEGER, _at TEXT, _request INTEGER, _ordinal INTEGER, _first_run INTEGER, _changed_run INTEGER, _gone_run INTEGER, PRIMARY KEY ("sku"));
INSERT INTO "product" VALUES('sku-0','0 chair',0.5,NULL,'https://shop.test/p/0',3,'2026-01-01T00:00:38Z',54,1,1,NULL,NULL);
INSERT INTO "product" VALUES('sku-1','1 chair',1.5,NULL,'https://shop.test/p/1',3,'2026-01-01T00:00:39Z',55,1,1,NULL,NULL);
INSERT INTO "product" VALUES('sku-2','2 chair',2.5,NULL,'https://shop.test/p/2',3,'2026-01-01T00:00:40Z',56,1,1,NULL,NULL);
INSERT INTO "product" VALUES('sku-3','3 chair',3.5,NULL,'https://shop.test/p/3',3,'2026-01-01T00:00:41Z',57,1,1,NULL,NULL);
INSERT INTO "product" VALUES('sku-4','4 chair',4.5,NULL,'https://shop.test/p/4',2,'2026-01-01T00:00:25Z',19,1,1,NULL,NULL);
INSERT INTO "product" VALUES('sku-5','5 chair',5.5,NULL,'https://shop.test/p/5',1,'2026-01-01T00:00:09Z',7,1,1,NULL,NULL);
INSERT INTO "product" VALUES('sku-6','6 chair',6.5,NULL,'https://shop.test/p/6',2,'2026-01-01T00:00:27Z',21,1,1,NULL,NULL);
INSERT INTO "product" VALUES('sku-7','7 chair',7.5,NULL,'https://shop.test/p/7',2,'2026-01-01T00:00:28Z',22,1,1,NULL,NULL);
INSERT INTO "product" VALUES('sku-8','8 chair',8.5,NULL,'https://shop.test/p/8',2,'2026-01-01T00:00:30Z',23,1,1,NULL,NULL);
INSERT INTO "product" VALUES('sku-9','9 chair',9.5,NULL,'https://shop.test/p/9',2,'2026-01-01T00:00:31Z',24,1,1,NULL,NULL);
INSERT INTO "product" VALUES('sku-10','10 chair',10.5,NULL,'https://shop.test/p/10',2,'2026-01-01T00:00:32Z',25,1,1,NULL,NULL);
INSERT INTO "product" VALUES('sku-11','11 chair',11.5,NULL,'https://shop.test/p/11',2,'2026-01-01T00:00:34Z',26,1,1,NULL,NULL);
CREATE TABLE "quote" ("text" TEXT, "at" TEXT, _url TEXT, _run INTEGER, _at TEXT, _request INTEGER, _ordinal INTEGER, _first_run INTEGER, _changed_run INTEGER, _gone_run INTEGER, UNIQUE (_request, _ordinal));
INSERT INTO "quote" VALUES('“sit”, it''s №0','https://shop.test/p/0','https://shop.test/p/0',1,'2026-01-01T00:00:02Z',2,2,1,NULL,NULL);
INSERT INTO "quote" VALUES('“sit”, it''s №1','https://shop.test/p/1','https://shop.test/p/1',1,'2026-01-01T00:00:04Z',3,2,1,NULL,NULL);
INSERT INTO "quote" VALUES('“sit”, it''s №2','https://shop.test/p/2','https://shop.test/p/2',1,'2026-01-01T00:00:05Z',4,2,1,NULL,NULL);
INSERT INTO "quote" VALUES('“sit”, it''s №3','https://shop.test/p/3','https://shop.test/p/3',1,'2026-01-01T00:00:06Z',5,2,1,NULL,NULL);
INSERT INTO "quote" VALUES('“sit”, it''s №4','https://shop.test/p/4','https://shop.test/p/4',1,'2026-01-01T00:00:08Z',6,2,1,NULL,NULL);
INSERT INTO "quote" VALUES('“sit”, it''s №5','https://shop.test/p/5','https://shop.test/p/5',1,'2026-01-01T00:00:09Z',7,2,1,NULL,NULL);
INSERT INTO "quote" VALUES('“sit”, it''s №6','https://shop.test/p/6','https://shop.test/p/6',1,'2026-01-01T00:00:10Z',8,2,1,NULL,NULL);
INSERT INTO "quote" VALUES('“sit”, it''s №7','https://shop.test/p/7','https://shop.test/p/7',1,'2026-01-01T00:00:12Z',9,2,1,NULL,NULL);
INSERT INTO "quote" VALUES('“sit”, it''s №8','https://shop.test/p/8','https://shop.test/p/8',1,'2026-01-01T00:00:13Z',10,2,1,NULL,NULL);
INSERT INTO "quote" VALUES('“sit”, it''s №9','https://shop.test/p/9','https://shop.test/p/9',1,'2026-01-01T00:00:14Z',11,2,1,NULL,NULL);
INSERT INTO "quote" VALUES('“sit”, it''s №10','https://shop.test/p/10','https://shop.test/p/10',1,'2026-01-01T00:00:15Z',12,2,1,NULL,NULL);
INSERT INTO "quote" VALUES('“sit”, it''s №11','https://shop.test/p/11','https://shop.test/p/11',1,'2026-01-01T00:00:17Z',13,2,1,NULL,NULL);
INSERT INTO "quote" VALUES('“sit”, it''s №0','https://shop.test/p/0','https://shop.test/p/0',2,'2026-01-01T00:00:19Z',15,2,2,NULL,NULL);
INSERT INTO "quote" VALUES('“sit”, it''s №1','https://shop.test/p/1','https://shop.test/p/1',2,'2026-01-01T00:00:21Z',16,2,2,NULL,NULL);
INSERT INTO "quote" VALUES('“sit”, it''s №2','https://shop.test/p/2','https://shop.test/p/2',2,'2026-01-01T00:00:22Z',17,2,2,NULL,NULL);
INSERT INTO "quote" VALUES('“sit”, it''s №4','https://shop.test/p/4','https://shop.test/p/4',2,'2026-01-01T00:00:25Z',19,2,2,NULL,NULL);
INSERT INTO "quote" VALUES('“sit”, it''s №5','https://shop.test/p/5','https://shop.test/p/5',2,'2026-01-01T00:00:26Z',20,2,2,NULL,NULL);
INSERT INTO "quote" VALUES('“sit”, it''s №6','https://shop.test/p/6','https://shop.test/p/6',2,'2026-01-01T00:00:27Z',21,2,2,NULL,NULL);
INSERT INTO "quote" VALUES('“sit”, it''s №7','https://shop.test/p/7','https://shop.test/p/7',2,'2026-01-01T00:00:28Z',22,2,2,NULL,NULL);
INSERT INTO "quote" VALUES('“sit”, it''s №8','https://shop.test/p/8','https://shop.test/p/8',2,'2026-01-01T00:00:30Z',23,2,2,NULL,NULL);
INSERT INTO "quote" VALUES('“sit”, it''s №9','https://shop.test/p/9','https://shop.test/p/9',2,'2026-01-01T00:00:31Z',24,2,2,NULL,NULL);
INSERT INTO "quote" VALUES('“sit”, it''s №10','https://shop.test/p/10','https://shop.test/p/10',2,'2026-01-01T00:00:32Z',25,2,2,NULL,NULL);
INSERT INTO "quote" VALUES('“sit”, it''s №11','https://shop.test/p/11','https://shop.test/p/11',2,'2026-01-01T00:00:34Z',26,2,2,NULL,NULL);
INSERT INTO "quote" VALUES('“sit”, it''s №0','https://shop.test/p/0','https://shop.test/p/0',3,'2026-01-01T00:00:38Z',54,2,3,NULL,NULL);
INSERT INTO "quote" VALUES('“sit”, it''s №1','https://shop.test/p/1','https://shop.test/p/1',3,'2026-01-01T00:00:39Z',55,2,3,NULL,NULL);
INSERT INTO "quote" VALUES('“sit”, it''s №2','https://shop.test/p/2','https://shop.test/p/2',3,'2026-01-01T00:00:40Z',56,2,3,NULL,NULL);
INSERT INTO "quote" VALUES('“sit”, it''s №3','https://shop.test/p/3','https://shop.test/p/3',3,'2026-01-01T00:00:41Z',57,2,3,NULL,NULL);
CREATE INDEX _origins_domain ON _origins (domain, expires);
CREATE INDEX _queues_ready ON _queues (run, ready_at) WHERE ready_at IS NOT NULL;
CREATE INDEX _queues_owner ON _queues (run, owner) WHERE owner IS NOT NULL;
CREATE UNIQUE INDEX _requests_fingerprint ON _requests (run, fingerprint);
CREATE INDEX _requests_queue ON _requests (run, domain, priority DESC, depth, id) WHERE state = 0;
CREATE INDEX _requests_later ON _requests (run, domain, not_before) WHERE state = 0 AND not_before > 0;
CREATE INDEX _requests_failed ON _requests (run, kind) WHERE state = 2;
CREATE INDEX _sends_request ON _sends (request);
CREATE INDEX _errors_run ON _errors (run, kind, place);
CREATE VIEW runs AS
    SELECT id, spider, state, reason, datetime(started, 'unixepoch') AS started,
        datetime(ended, 'unixepoch') AS ended,
        (SELECT value FROM _counters WHERE run = _runs.id AND name = 'pages') AS pages,
        (SELECT value FROM _counters WHERE run = _runs.id AND name = 'failed') AS failed
    FROM _runs;
CREATE VIEW requests AS
    SELECT r.id, r.run, r.url,
        CASE r.state WHEN 0 THEN 'queued' WHEN 1 THEN 'done' WHEN 2 THEN 'failed' ELSE 'skipped' END AS state,
        r.status, r.kind, r.why, r.callback, r.depth, r.attempts, p.url AS found_on,
        datetime(r.ended, 'unixepoch') AS ended
    FROM _requests r LEFT JOIN _requests p ON p.id = r.parent;
CREATE VIEW errors AS
    SELECT e.id, e.run, r.url, e.kind, e.message, e.place, datetime(e.at, 'unixepoch') AS at
    FROM _errors e LEFT JOIN _requests r ON r.id = e.request;
COMMIT;
PRAGMA application_id = 1396920912;
PRAGMA user_version = 1;
