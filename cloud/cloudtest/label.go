package cloudtest

// userLabels are labels in the scripts of those who run clouds here: Hangul,
// Kana, Kanji and Hanzi, one of them beyond the Basic Multilingual Plane; of
// cost centres; empty; and such as clouds have keys of their own for.
var userLabels = map[string]string{
	"팀":          "인프라 개발팀",
	"地域":         "東京リージョン",
	"店舗":         "𠮷野家",
	"数据中心":       "北京",
	"CostCenter": "KR_12345/a:b=c",
	"tier":       "web",
	"note":       "",
	"Name":       "web-1",
	"x--a":       "x--",
}
